package config_test

import (
	"strings"
	"testing"

	"cortex/cmd/config"
)

func TestSettingsBounds(t *testing.T) {
	for _, tc := range []struct {
		name        string
		taken       []string
		outOfBounds []string
	}{
		{"idle_timeout", []string{"0s", "24h"}, []string{"24h0m0.000000001s", "25h", "-1ns"}},
		{"lock_timeout", []string{"0s", "1h"}, []string{"1h0m0.000000001s", "2h", "-1ns"}},
		{"db_pool_size", []string{"1", "64"}, []string{"0", "65", "-1"}},
		{"thread_pool_size", []string{"1", "64"}, []string{"0", "65", "-1"}},
		{"store_budget", []string{"0", "9223372036854775807"}, []string{"-1", "9223372036854775808"}},
	} {
		spec, err := config.FindSetting(tc.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range tc.taken {
			if _, err := load(env(spec.EnvName(), v), 0); err != nil {
				t.Errorf("%s %s is refused: %v", tc.name, v, err)
			}
		}
		for _, v := range tc.outOfBounds {
			if s, err := load(env(spec.EnvName(), v), 0); err == nil || !strings.Contains(err.Error(), spec.EnvName()) {
				t.Errorf("%s %s: %v; the setting is %s", tc.name, v, err, spec.Value(s))
			}
		}
	}
}
