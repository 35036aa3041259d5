package daemon

import (
	"bytes"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cortex/cmd/config"
	"cortex/consumers/policy"
	"cortex/consumers/policy/cel"
)

// NewPolicy is what judges plans on the machine that the settings name: the built-in
// invariants and the owner's rules.
func NewPolicy(s config.Settings) *cel.Rules {
	var kernel string
	var u unix.Utsname
	if s.Root == "/" && unix.Uname(&u) == nil { // an image has no kernel that runs
		kernel = string(u.Release[:bytes.IndexByte(u.Release[:], 0)])
	}
	return cel.New(filepath.Join(s.Root, config.PolicyDir), 0, policy.Invariants{RunningKernel: kernel})
}
