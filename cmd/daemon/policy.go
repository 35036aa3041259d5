package daemon

import (
	"bytes"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cortex/cmd/settings"
	"cortex/consumers/policy"
	"cortex/consumers/policy/rules"
)

// Policy is what judges plans on the machine that the settings name: the built-in
// invariants and the owner's rules.
func Policy(s settings.Settings) *rules.Rules {
	var kernel string
	var u unix.Utsname
	if s.Root == "/" && unix.Uname(&u) == nil { // an image has no kernel that runs
		kernel = string(u.Release[:bytes.IndexByte(u.Release[:], 0)])
	}
	return rules.New(filepath.Join(s.Root, settings.PolicyDir), 0, policy.Invariants{Kernel: kernel})
}
