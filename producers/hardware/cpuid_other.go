//go:build !amd64

package hardware

// hypervisor: only x86 processors tell.
func hypervisor() string { return "" }
