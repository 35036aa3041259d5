//go:build !amd64

package hardware

// hypervisor returns "": only x86 processors report a signature.
func hypervisor() string { return "" }
