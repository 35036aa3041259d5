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

// SettingSpec is one thing that can be set, in a file or in the environment.
type SettingSpec struct {
	Name        string // as it is written in a file
	Description string // for people, lower case
	IsNumber    bool   // written without quotes in a file

	set func(s *Settings, v string) error // what v must be, when it is not
	get func(s Settings) string
}

// EnvName is the environment variable that sets the key.
func (k SettingSpec) EnvName() string {
	return "CORTEX_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(k.Name))
}

// Value is what the key is in s, as it is written in a file but without quotes.
func (k SettingSpec) Value(s Settings) string { return k.get(s) }

// SettingSpecs lists everything that can be set, by name, but for the settings of single
// providers of models: llm.NAME.url, model, protocol, price, rpm and tpm.
func SettingSpecs() []SettingSpec {
	return slices.Concat([]SettingSpec{
		poolSetting("db_pool_size", "read connections to each read model", func(s *Settings) *int { return &s.PoolSize }),
		durationSetting("idle_timeout", "after how long an idle daemon leaves; 0s never", MaxIdleTimeout, func(s *Settings) *time.Duration { return &s.IdleTimeout }),
		durationSetting("lock_timeout", "how long to wait for another package manager; --lock-timeout wins", events.MaxLockWait, func(s *Settings) *time.Duration { return &s.LockTimeout }),
		modelSetting("llm.budget_day", "dollars that models may cost in a day", checkAmount),
		modelSetting("llm.budget_month", "dollars that models may cost in a month", checkAmount),
		modelSetting("llm.providers", "providers of models, in the order in which they are asked, by commas", checkProviders),
	}, natsSettings(), []SettingSpec{
		{
			Name: "root", Description: "the root directory of the machine, for images",
			set: func(s *Settings, v string) error {
				s.Root = filepath.Clean(v)
				return checkAbsolute(v)
			},
			get: func(s Settings) string { return s.Root },
		},
		{
			Name: "socket", Description: "the daemon's socket",
			set: func(s *Settings, v string) error {
				if s.Socket = v; !filepath.IsAbs(v) || len(v) > maxSocketPath {
					return fmt.Errorf("an absolute path of at most %d bytes", maxSocketPath)
				}
				return nil
			},
			get: func(s Settings) string { return s.Socket },
		},
		{
			Name: "state_dir", Description: "where history and what an undo needs are kept",
			set: func(s *Settings, v string) error {
				s.StateDir = filepath.Clean(v)
				return checkAbsolute(v)
			},
			get: func(s Settings) string { return s.StateDir },
		},
		{
			Name: "store_budget", Description: "bytes up to which package files of what is installed are fetched; 0 fetches none", IsNumber: true,
			set: func(s *Settings, v string) (err error) {
				if s.StoreBudget, err = strconv.ParseInt(v, 10, 64); err != nil || s.StoreBudget < 0 {
					return errors.New("a number of bytes, 0 or more")
				}
				return nil
			},
			get: func(s Settings) string { return strconv.FormatInt(s.StoreBudget, 10) },
		},
		poolSetting("thread_pool_size", "questions to models at once", func(s *Settings) *int { return &s.ModelConcurrency }),
	})
}

func checkAbsolute(v string) error {
	if !filepath.IsAbs(v) {
		return errors.New("an absolute path")
	}
	return nil
}

// modelSetting is a setting that [Settings.LoadModelSettings] reads.
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
			return errors.New("a list of names by commas, each of small letters, digits and hyphens")
		}
	}
	return nil
}

func splitProviders(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// providerSettings are the settings llm.NAME.WHAT, by WHAT. check has the daemon's parser
// of the value, or the parser itself.
var providerSettings = map[string]struct {
	about    string
	isNumber bool
	check    func(v string) error
}{
	"model": {"the model that is asked for", false, func(string) error { return nil }}, // only the provider knows its models
	"price": {"dollars per million tokens asked and answered, such as 3/15", false, func(v string) error {
		if _, err := router.ParsePrice(v); err != nil && v != "" {
			return errors.New("a price such as 3/15, dollars per million tokens asked and answered")
		}
		return nil
	}},
	"protocol": {"anthropic or openai", false, func(v string) error {
		if v != "anthropic" && v != "openai" {
			return errors.New("anthropic or openai")
		}
		return nil
	}},
	"rpm": {"the most requests in a minute", true, checkRate},
	"tpm": {"the most tokens in a minute", true, checkRate},
	"url": {"where the provider answers", false, func(v string) error {
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

// providerSetting gives the key llm.NAME.WHAT of a provider of models.
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

// FindSetting gives the key of this name. It fails with ErrUsage, and a hint when one of
// a similar name exists.
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
	e := &events.Error{Op: "config.Find", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("there is no such setting"), Hint: "'cortex config show' lists all"}
	if near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return SettingSpec{}, e
}
