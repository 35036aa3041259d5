package parts

import (
	"cortex/cmd/config"
	"cortex/consumers/machine/limits"
)

// LimitsMachine is what applies limits on this machine, and reads how groups are.
func LimitsMachine(s config.Settings) *limits.Machine {
	return limits.NewMachine(LimitsConfig(s), s.LimitsDir())
}

// LimitsConfig is what back ends for limits need to know.
func LimitsConfig(s config.Settings) limits.Config {
	return limits.Config{Root: "/", UID: s.UID, Run: limits.RunCommand}
}
