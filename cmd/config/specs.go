package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/consumers/llm"
	"cortex/consumers/llm/router"
	"cortex/events"
	"cortex/internal/editdistance"
)

// SettingSpec describes one setting of a file or the environment.
type SettingSpec struct {
	Name        string // name in a file
	Description string // for the user, lower case
	IsNumber    bool   // written without quotes in a file

	set func(s *Settings, v string) error // the error completes "must be …"
	get func(s Settings) string
}

// EnvName is the environment variable of the setting.
func (k SettingSpec) EnvName() string {
	return "CORTEX_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(k.Name))
}

// Value returns the setting's value in s in the form of a file, without quotes.
func (k SettingSpec) Value(s Settings) string { return k.get(s) }

// SettingSpecs returns all settings by name, except those of single model providers:
// llm.NAME.url, model, protocol, price, rpm and tpm.
func SettingSpecs() []SettingSpec {
	return slices.Concat([]SettingSpec{
		poolSetting("db_pool_size", "read connections for each read model", func(s *Settings) *int { return &s.PoolSize }),
		durationSetting("idle_timeout", "time after which an idle daemon stops; 0s for never", MaxIdleTimeout, func(s *Settings) *time.Duration { return &s.IdleTimeout }),
		durationSetting("lock_timeout", "time to wait for another package manager; --lock-timeout overrides it", events.MaxLockWait, func(s *Settings) *time.Duration { return &s.LockTimeout }),
		modelSetting("llm.budget_day", "budget for models in dollars per day", checkAmount),
		modelSetting("llm.budget_month", "budget for models in dollars per month", checkAmount),
		modelSetting("llm.providers", "model providers in the order of use, separated by commas", checkProviders),
	}, natsSettings(), []SettingSpec{
		{
			Name: "root", Description: "root directory of the machine, for images",
			set: func(s *Settings, v string) error {
				s.Root = filepath.Clean(v)
				return checkAbsolute(v)
			},
			get: func(s Settings) string { return s.Root },
		},
		{
			Name: "socket", Description: "socket of the daemon",
			set: func(s *Settings, v string) error {
				if s.Socket = v; !filepath.IsAbs(v) || len(v) > maxSocketPath {
					return fmt.Errorf("an absolute path of at most %d bytes", maxSocketPath)
				}
				return nil
			},
			get: func(s Settings) string { return s.Socket },
		},
		{
			Name: "state_dir", Description: "directory of the history and of the data that an undo needs",
			set: func(s *Settings, v string) error {
				s.StateDir = filepath.Clean(v)
				return checkAbsolute(v)
			},
			get: func(s Settings) string { return s.StateDir },
		},
		{
			Name: "store_budget", Description: "bytes of package files to prefetch for installed packages; 0 disables it", IsNumber: true,
			set: func(s *Settings, v string) (err error) {
				if s.StoreBudget, err = strconv.ParseInt(v, 10, 64); err != nil || s.StoreBudget < 0 {
					return errors.New("a number of bytes, 0 or more")
				}
				return nil
			},
			get: func(s Settings) string { return strconv.FormatInt(s.StoreBudget, 10) },
		},
		poolSetting("thread_pool_size", "concurrent questions to models", func(s *Settings) *int { return &s.ModelConcurrency }),
	})
}

func checkAbsolute(v string) error {
	if !filepath.IsAbs(v) {
		return errors.New("an absolute path")
	}
	return nil
}

// modelSetting returns a setting that [Settings.LoadModelSettings] reads.
func modelSetting(name, about string, check func(v string) error) SettingSpec {
	k := SettingSpec{Name: name, Description: about}
	variable := k.EnvName()
	k.set = func(s *Settings, v string) error {
		if s.modelSettings == nil {
			s.modelSettings = map[string]string{}
		}
		s.modelSettings[variable] = v
		return check(v)
	}
	k.get = func(s Settings) string { return s.modelSettings[variable] }
	return k
}

func checkAmount(v string) error {
	if v == "" {
		return nil // no limit
	}
	if _, err := router.ParseUSD(v); err != nil {
		return errors.New("an amount of dollars with at most six decimals, such as 2.50")
	}
	return nil
}

func checkProviders(v string) error {
	for _, name := range splitProviders(v) {
		if _, err := ParseProviderName(name); err != nil {
			return errors.New("a list of names separated by commas, each of lower-case letters, digits and hyphens")
		}
	}
	return nil
}

func splitProviders(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// providerSettings are the settings llm.NAME.WHAT, by WHAT. check uses the parser with which
// the daemon reads the value.
var providerSettings = map[string]struct {
	about    string
	isNumber bool
	check    func(v string) error
}{
	"model": {"name of the model", false, func(string) error { return nil }}, // only the provider knows its models
	"price": {"dollars per million input and output tokens, such as 3/15", false, func(v string) error {
		if _, err := router.ParsePrice(v); err != nil && v != "" {
			return errors.New("a price such as 3/15, dollars per million input and output tokens")
		}
		return nil
	}},
	"protocol": {"protocol: anthropic or openai", false, func(v string) error {
		if v != "anthropic" && v != "openai" {
			return errors.New("anthropic or openai")
		}
		return nil
	}},
	"rpm": {"maximum of requests per minute", true, checkRate},
	"tpm": {"maximum of tokens per minute", true, checkRate},
	"url": {"address of the provider", false, func(v string) error {
		if llm.ValidateURL(v) != nil {
			return errors.New("an address such as http://127.0.0.1:8080/v1, without a user")
		}
		return nil
	}},
}

func checkRate(v string) error {
	_, err := parseRate(v)
	return err
}

func parseRate(v string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, errors.New("a number per minute, 0 or more")
	}
	return int(n), nil
}

// providerSetting returns the setting llm.NAME.WHAT of a model provider.
func providerSetting(name string) (SettingSpec, bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[0] != "llm" {
		return SettingSpec{}, false
	}
	if _, err := ParseProviderName(parts[1]); err != nil {
		return SettingSpec{}, false
	}
	p, ok := providerSettings[parts[2]]
	if !ok {
		return SettingSpec{}, false
	}
	k := modelSetting(name, p.about, p.check)
	k.IsNumber = p.isNumber
	return k, true
}

func poolSetting(name, about string, of func(*Settings) *int) SettingSpec {
	return SettingSpec{
		Name: name, Description: fmt.Sprintf("%s, from 1 to %d", about, MaxPoolSize), IsNumber: true,
		set: func(s *Settings, v string) error {
			n, err := strconv.Atoi(v)
			if *of(s) = n; err != nil || n < 1 || n > MaxPoolSize {
				return fmt.Errorf("a number from 1 to %d", MaxPoolSize)
			}
			return nil
		},
		get: func(s Settings) string { return strconv.Itoa(*of(&s)) },
	}
}

func durationSetting(name, about string, most time.Duration, of func(*Settings) *time.Duration) SettingSpec {
	return SettingSpec{
		Name: name, Description: about,
		set: func(s *Settings, v string) error {
			d, err := time.ParseDuration(v)
			if *of(s) = d; err != nil || d < 0 || d > most {
				return fmt.Errorf("a duration from 0s to %s, such as 90s", most)
			}
			return nil
		},
		get: func(s Settings) string { return of(&s).String() },
	}
}

// FindSetting returns the setting with this name. It fails with ErrUsage, and with a hint
// if a setting with a similar name exists.
func FindSetting(name string) (SettingSpec, error) {
	if k, ok := providerSetting(name); ok {
		return k, nil
	}
	var near string
	for _, k := range SettingSpecs() {
		if k.Name == name {
			return k, nil
		}
		if k.EnvName() == name || editdistance.Within(name, k.Name, 2) <= 2 {
			near = k.Name
		}
	}
	e := &events.Error{Op: "config.FindSetting", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("unknown setting"), Hint: "'cortex config show' lists all settings"}
	if near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return SettingSpec{}, e
}
