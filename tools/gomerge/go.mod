module pilothouse/tools/gomerge

go 1.21
