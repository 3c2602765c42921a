// The assembler file that lets sys_unsafe.go declare a function without a body.
