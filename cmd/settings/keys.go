package settings

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/events"
)

// Key is one thing that can be set, in a file or in the environment.
type Key struct {
	Name   string // as it is written in a file
	About  string // for people, lower case
	Number bool   // written without quotes in a file

	set func(s *Settings, v string) error // what v must be, when it is not
	get func(s Settings) string
}

// Env is the environment variable that sets the key.
func (k Key) Env() string {
	return "CORTEX_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(k.Name))
}

// Value is what the key is in s, as it is written in a file but without quotes.
func (k Key) Value(s Settings) string { return k.get(s) }

// Keys lists everything that can be set, by name, but for the settings of single
// providers of models: llm.NAME.url, model, protocol, price, rpm and tpm.
func Keys() []Key {
	return slices.Concat([]Key{
		pool("db_pool_size", "read connections to each read model", func(s *Settings) *int { return &s.PoolSize }),
		duration("idle_timeout", "after how long an idle daemon leaves; 0s never", MaxIdleTimeout, func(s *Settings) *time.Duration { return &s.IdleTimeout }),
		duration("lock_timeout", "how long to wait for another package manager; --lock-timeout wins", events.MaxLockWait, func(s *Settings) *time.Duration { return &s.LockWait }),
		model("llm.budget_day", "dollars that models may cost in a day", amount),
		model("llm.budget_month", "dollars that models may cost in a month", amount),
		model("llm.providers", "providers of models, in the order in which they are asked, by commas", providers),
	}, nats(), []Key{
		{
			Name: "root", About: "the root directory of the machine, for images",
			set: func(s *Settings, v string) error {
				s.Root = filepath.Clean(v)
				return absolute(v)
			},
			get: func(s Settings) string { return s.Root },
		},
		{
			Name: "socket", About: "the daemon's socket",
			set: func(s *Settings, v string) error {
				if s.Socket = v; !filepath.IsAbs(v) || len(v) > maxSocketPath {
					return fmt.Errorf("an absolute path of at most %d bytes", maxSocketPath)
				}
				return nil
			},
			get: func(s Settings) string { return s.Socket },
		},
		{
			Name: "state_dir", About: "where history and what an undo needs are kept",
			set: func(s *Settings, v string) error {
				s.State = filepath.Clean(v)
				return absolute(v)
			},
			get: func(s Settings) string { return s.State },
		},
		{
			Name: "store_budget", About: "bytes up to which package files of what is installed are fetched; 0 fetches none", Number: true,
			set: func(s *Settings, v string) (err error) {
				if s.StoreBudget, err = strconv.ParseInt(v, 10, 64); err != nil || s.StoreBudget < 0 {
					return errors.New("a number of bytes, 0 or more")
				}
				return nil
			},
			get: func(s Settings) string { return strconv.FormatInt(s.StoreBudget, 10) },
		},
		pool("thread_pool_size", "questions to models at once", func(s *Settings) *int { return &s.Threads }),
	})
}

func absolute(v string) error {
	if !filepath.IsAbs(v) {
		return errors.New("an absolute path")
	}
	return nil
}

// model is a setting that [Settings.LoadModels] reads.
func model(name, about string, check func(v string) error) Key {
	k := Key{Name: name, About: about}
	variable := k.Env()
	k.set = func(s *Settings, v string) error {
		if s.models == nil {
			s.models = map[string]string{}
		}
		s.models[variable] = v
		return check(v)
	}
	k.get = func(s Settings) string { return s.models[variable] }
	return k
}

func amount(v string) error {
	if v == "" {
		return nil // no limit
	}
	if n, err := strconv.ParseFloat(v, 64); err != nil || n < 0 || strings.Trim(v, "0123456789.") != "" {
		return errors.New("an amount of dollars, such as 2.50")
	}
	return nil
}

func providers(v string) error {
	for _, name := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		if _, err := ParseProviderName(name); err != nil {
			return errors.New("a list of names by commas, each of small letters, digits and hyphens")
		}
	}
	return nil
}

// provider gives the key llm.NAME.WHAT of a provider of models.
func provider(name string) (Key, bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[0] != "llm" {
		return Key{}, false
	}
	if _, err := ParseProviderName(parts[1]); err != nil {
		return Key{}, false
	}
	anything := func(string) error { return nil }
	var k Key
	switch parts[2] {
	case "url":
		k = model(name, "where the provider answers", func(v string) error {
			if u, err := url.Parse(v); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return errors.New("an address such as http://127.0.0.1:8080/v1")
			}
			return nil
		})
	case "model":
		k = model(name, "the model that is asked for", anything)
	case "price":
		k = model(name, "dollars per million tokens asked and answered, such as 3/15", anything)
	case "protocol":
		k = model(name, "anthropic or openai", func(v string) error {
			if v != "anthropic" && v != "openai" {
				return errors.New("anthropic or openai")
			}
			return nil
		})
	case "rpm", "tpm":
		k = model(name, "the most requests (rpm) or tokens (tpm) in a minute", func(v string) error {
			if _, err := strconv.ParseUint(v, 10, 31); err != nil {
				return errors.New("a number per minute, 0 or more")
			}
			return nil
		})
		k.Number = true
	default:
		return k, false
	}
	return k, true
}

func pool(name, about string, of func(*Settings) *int) Key {
	return Key{
		Name: name, About: fmt.Sprintf("%s, from 1 to %d", about, MaxPoolSize), Number: true,
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

func duration(name, about string, most time.Duration, of func(*Settings) *time.Duration) Key {
	return Key{
		Name: name, About: about,
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

// Find gives the key of this name. It fails with ErrUsage, and a hint when one of
// a similar name exists.
func Find(name string) (Key, error) {
	if k, ok := provider(name); ok {
		return k, nil
	}
	var near string
	for _, k := range Keys() {
		if k.Name == name {
			return k, nil
		}
		if k.Env() == name || distance(name, k.Name) <= 2 {
			near = k.Name
		}
	}
	e := &events.Error{Op: "settings.Find", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("there is no such setting"), Hint: "'cortex config show' lists all"}
	if near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return Key{}, e
}

// distance counts the letters to change, add or drop to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
