package settings

import (
	"errors"
	"fmt"
	"path/filepath"
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
	return "CORTEX_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Value is what the key is in s, as it is written in a file but without quotes.
func (k Key) Value(s Settings) string { return k.get(s) }

// Keys lists everything that can be set, by name.
func Keys() []Key {
	return []Key{
		pool("db_pool_size", "read connections to each read model", func(s *Settings) *int { return &s.PoolSize }),
		duration("idle_timeout", "after how long an idle daemon leaves; 0s never", MaxIdleTimeout, func(s *Settings) *time.Duration { return &s.IdleTimeout }),
		duration("lock_timeout", "how long to wait for another package manager; --lock-timeout wins", events.MaxLockWait, func(s *Settings) *time.Duration { return &s.LockWait }),
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
	}
}

func absolute(v string) error {
	if !filepath.IsAbs(v) {
		return errors.New("an absolute path")
	}
	return nil
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

// Find gives the key of this name. It fails with ErrNotFound, and a hint when one
// of a similar name exists.
func Find(name string) (Key, error) {
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
