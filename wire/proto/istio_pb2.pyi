from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CertificateRequest(_message.Message):
    __slots__ = ("csr", "validity_duration", "metadata")
    CSR_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_DURATION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    csr: str
    validity_duration: int
    metadata: _struct_pb2.Struct
    def __init__(self, csr: _Optional[str] = ..., validity_duration: _Optional[int] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class CertificateResponse(_message.Message):
    __slots__ = ("cert_chain",)
    CERT_CHAIN_FIELD_NUMBER: _ClassVar[int]
    cert_chain: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cert_chain: _Optional[_Iterable[str]] = ...) -> None: ...

class NameTable(_message.Message):
    __slots__ = ("table",)
    class NameInfo(_message.Message):
        __slots__ = ("ips", "registry", "shortname", "namespace", "alt_hosts")
        IPS_FIELD_NUMBER: _ClassVar[int]
        REGISTRY_FIELD_NUMBER: _ClassVar[int]
        SHORTNAME_FIELD_NUMBER: _ClassVar[int]
        NAMESPACE_FIELD_NUMBER: _ClassVar[int]
        ALT_HOSTS_FIELD_NUMBER: _ClassVar[int]
        ips: _containers.RepeatedScalarFieldContainer[str]
        registry: str
        shortname: str
        namespace: str
        alt_hosts: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, ips: _Optional[_Iterable[str]] = ..., registry: _Optional[str] = ..., shortname: _Optional[str] = ..., namespace: _Optional[str] = ..., alt_hosts: _Optional[_Iterable[str]] = ...) -> None: ...
    class TableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: NameTable.NameInfo
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[NameTable.NameInfo, _Mapping]] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: _containers.MessageMap[str, NameTable.NameInfo]
    def __init__(self, table: _Optional[_Mapping[str, NameTable.NameInfo]] = ...) -> None: ...

class PushedProxyConfig(_message.Message):
    __slots__ = ("ca_certificates_pem",)
    CA_CERTIFICATES_PEM_FIELD_NUMBER: _ClassVar[int]
    ca_certificates_pem: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ca_certificates_pem: _Optional[_Iterable[str]] = ...) -> None: ...
