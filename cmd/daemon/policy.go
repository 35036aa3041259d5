package daemon

import (
	"bytes"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cortex/cmd/config"
	"cortex/consumers/policy"
	"cortex/consumers/policy/cel"
)

// NewPolicy returns the policy of the machine: the built-in invariants and the rules in
// the policy directory.
func NewPolicy(s config.Settings) *cel.Rules {
	var kernel string
	var u unix.Utsname
	if s.Root == "/" && unix.Uname(&u) == nil { // an image has no running kernel
		kernel = string(u.Release[:bytes.IndexByte(u.Release[:], 0)])
	}
	return cel.New(filepath.Join(s.Root, config.PolicyDir), 0, policy.Invariants{RunningKernel: kernel})
}
