package adapters

import (
	"cortex/cmd/config"
	"cortex/consumers/machine/limits"
)

// LimitsMachine returns the object that applies limits on this machine and reads the
// resource use of their groups.
func LimitsMachine(s config.Settings) *limits.Machine {
	return limits.NewMachine(LimitsConfig(s), s.LimitsDir())
}

// LimitsConfig returns the configuration of the limits back ends.
func LimitsConfig(s config.Settings) limits.Config {
	return limits.Config{Root: "/", UID: s.UID, Run: limits.RunCommand}
}
