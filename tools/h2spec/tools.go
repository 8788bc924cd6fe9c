// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins h2spec, the conformance suite of HTTP/2, for `make h2spec`.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
