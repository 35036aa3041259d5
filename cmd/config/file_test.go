package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/cmd/config"
)

func TestParseErrorsHaveAPlace(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":                 {"root = \"/\"\nidle_timeout = 5s\n", `^f:2:\d+: `},
		"twice":                  {"root = \"/\"\nroot = \"/\"\n", `^f:2:\d+: .*already`},
		"unknown":                {"\n  colour = \"red\"\n", `^f:2:3: unknown setting "colour"$`},
		"unknown table":          {"[other]\nmodel = \"x\"\n", `^f:1:2: unknown table "other"\nf:2:1: unknown setting "other.model"$`},
		"list of tables":         {"[[root]]\n", `^f:1:3: "root" is an array of tables`},
		"wrong type":             {"root = 1\n", `^f:1:1: root must be a quoted string$`},
		"array":                  {"root = [\"/\"]\n", `^f:1:1: root must be a quoted string or an integer`},
		"wrong value":            {"db_pool_size = 1_000\n", `^f:1:1: db_pool_size: invalid value "1000": must be a number from 1 to 64$`},
		"secret by name":         {"openai_api_key = \"x\"\n", `^f:1:1: openai_api_key looks like a secret`},
		"secret by value":        {"root = \"sk-0123456789abcdef0123\"\n", `^f:1:1: root looks like a secret`},
		"password in url":        {"root = \"https://u:hunter2@example.org\"\n", `^f:1:1: root looks like a secret`},
		"unknown of a provider":  {"[llm.near]\ncolour = \"x\"\n", `^f:2:1: unknown setting "llm.near.colour"$`},
		"key of a provider":      {"[llm.near]\nkey = \"hunter2\"\n", `^f:2:1: llm.near.key looks like a secret`},
		"password in servers":    {"nats.url = \"nats://h:1,nats://u:hunter2@h:1\"\n", `^f:1:1: nats.url looks like a secret`},
		"token in servers":       {"nats.url = \"nats://hunter2@h:1\"\n", `^f:1:1: nats.url looks like a secret`},
		"no server":              {"[nats]\nurl = \"http://h\"\n", `^f:2:1: nats.url: invalid value "http://h": must be a list`},
		"not a loopback address": {"nats.listen = \"0.0.0.0:4222\"\n", `^f:1:1: nats.listen: invalid value "0.0.0.0:4222": must be a loopback address`},
		"address without a port": {"nats.listen = \"localhost\"\n", `^f:1:1: nats.listen`},
		"too many copies":        {"nats.replicas = 6\n", `^f:1:1: nats.replicas`},
		"address of a provider":  {"llm.near.url = \"localhost\"\n", `^f:1:1: llm.near.url: invalid value "localhost": must be an address`},
		"limit of a provider":    {"llm.near.rpm = -1\n", `^f:1:1: llm.near.rpm: invalid value "-1": must be a number per minute`},
		"name of a provider":     {"llm.Near.rpm = 1\n", `^f:1:1: unknown setting`},
		"budget":                 {"llm.budget_day = \"1e9\"\n", `^f:1:1: llm.budget_day: invalid value "1e9": must be an amount`},
		"two at once":            {"root = 1\nsocket = 1\n", "^f:1:1: .*\nf:2:1: "},
		"not UTF-8":              {"root = \"\xff\"\n", `^f:1:\d+: `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(c.text))
			if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "sk-")) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		})
	}
}

func TestReadFileAsRootRefusesForeignFiles(t *testing.T) {
	path := file(t, "db_pool_size = 2\n")
	for name, change := range map[string]func() error{
		"writable by others": func() error { return os.Chmod(path, 0o646) },
		"writable by group":  func() error { return os.Chmod(path, 0o664) },
		"another owner":      func() error { return os.Chown(path, 1000, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			needsRoot(t)
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
			if e, err := config.ReadFile(path, 0); err != nil || len(e) != 1 {
				t.Fatalf("%v, %v", e, err)
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if e, err := config.ReadFile(path, 0); err == nil || len(e) > 0 {
				t.Errorf("root reads it: %v", e)
			}
			if e, err := config.ReadFile(path, 1000); err != nil || len(e) != 1 {
				t.Errorf("another user cannot read it: %v, %v", e, err)
			}
			if err := os.Chown(path, 0, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSetAndUnsetKeepOtherText(t *testing.T) {
	text := "# a\nroot = '/'   # why\nidle_timeout = \"1s\""
	out, err := config.Set("f", []byte(text), "root", "/mnt")
	if err != nil {
		t.Fatal(err)
	}
	out, err = config.Set("f", out, "db_pool_size", "9")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("# a\nroot = \"/mnt\"   # why\nidle_timeout = \"1s\"\ndb_pool_size = 9\n", string(out)); diff != "" {
		t.Error(diff)
	}
	out, was, err := config.Unset("f", out, "root")
	if err != nil || !was || string(out) != "# a\nidle_timeout = \"1s\"\ndb_pool_size = 9\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := config.Set("f", []byte("x = [1"), "root", "/"); err == nil {
		t.Error("an invalid file is changed")
	}
}

func TestSetPlacesNewSetting(t *testing.T) {
	for name, c := range map[string]struct{ text, key, value, want string }{
		"first":                     {"", "root", "/", "root = \"/\"\n"},
		"before the tables":         {"# a\n[llm]\n", "root", "/", "# a\nroot = \"/\"\n[llm]\n"},
		"after other keys":          {"root = \"/\" # b\n\n[llm]\nproviders = \"x\"\n", "socket", "/s", "root = \"/\" # b\nsocket = \"/s\"\n\n[llm]\nproviders = \"x\"\n"},
		"into its table":            {"[llm]\nproviders = \"x\"\n[llm.near]\n", "llm.near.rpm", "5", "[llm]\nproviders = \"x\"\n[llm.near]\nrpm = 5\n"},
		"after a key of its table":  {"[llm]\nproviders = \"x\"\n[llm.near]\n", "llm.budget_day", "2", "[llm]\nproviders = \"x\"\nbudget_day = \"2\"\n[llm.near]\n"},
		"after a dotted key":        {"llm.near.url = \"http://x\"\n", "llm.near.rpm", "5", "llm.near.url = \"http://x\"\nllm.near.rpm = 5\n"},
		"after a partly dotted key": {"[llm]\nnear.url = \"http://x\"", "llm.near.rpm", "5", "[llm]\nnear.url = \"http://x\"\nnear.rpm = 5\n"},
		"in a new table":            {"[llm.near]\nrpm = 1", "llm.far.rpm", "5", "[llm.near]\nrpm = 1\n[llm.far]\nrpm = 5\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := config.Set("f", []byte(c.text), c.key, c.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzParse checks that every error has a place, and that every parsed entry can be set and
// unset.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "root = \"/\"", "[a]\nb=1", "a.b = 1\n", "db_pool_size = 1_0 # x", "x = \"\"\"\na\"\"\"", "[[a]]", "[llm]\nnear.rpm = 1\n[llm.far]\nurl = \"http://x\"\n", "root={a=1}", "\xff", "\"\" = 1"} {
		f.Add(s)
	}
	place := regexp.MustCompile(`^f:\d+:\d+: `)
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := config.Parse("f", []byte(text))
		if err != nil {
			if !place.MatchString(err.Error()) {
				t.Errorf("no place: %v", err)
			}
			return
		}
		out := []byte(text)
		for _, e := range entries {
			if out, err = config.Set("f", out, e.Name, e.Value); err != nil {
				t.Fatalf("%q: %v", e.Name, err)
			}
			var was bool
			if out, was, err = config.Unset("f", out, e.Name); err != nil || !was {
				t.Fatalf("%q: %t, %v", e.Name, was, err)
			}
		}
		if left, err := config.Parse("f", out); err != nil || len(left) > 0 {
			t.Errorf("left %v, %v in %q", left, err, out)
		}
	})
}
