package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cortex/cmd/config"
)

// settingValues has valid and invalid values of every setting.
var settingValues = map[string]struct{ right, wrong []string }{
	"db_pool_size":      {[]string{"1", "64"}, []string{"0", "65", "-1", "many"}},
	"idle_timeout":      {[]string{"0s", "90s", "24h"}, []string{"25h", "-1s", "90", "soon"}},
	"lock_timeout":      {[]string{"0s", "2m"}, []string{"-1s", "2", "soon"}},
	"llm.budget_day":    {[]string{"2", "2.50", "0.000001", "$2", "5."}, []string{"two", "-1", "0.0000001", ".5", "1e3", "9999999999"}},
	"llm.budget_month":  {[]string{"20", "20.5"}, []string{"0.1234567", "20 EUR"}},
	"llm.providers":     {[]string{"near", "near, far"}, []string{"Near", "near,a/b"}},
	"llm.near.model":    {[]string{"m", "qwen3:8b"}, nil},
	"llm.near.price":    {[]string{"3/15", "0/0", "$0.25/1.5"}, []string{"cheap", "3", "3/", "/15", "3/15/7", "-3/15", "3/0.0000001"}},
	"llm.near.protocol": {[]string{"openai", "anthropic"}, []string{"OpenAI", "other"}},
	"llm.near.rpm":      {[]string{"0", "60"}, []string{"-1", "x", "9999999999"}},
	"llm.near.tpm":      {[]string{"0", "100000"}, []string{"-1", "x", "9999999999"}},
	"llm.near.url":      {[]string{"http://127.0.0.1:8080/v1", "https://h"}, []string{"127.0.0.1:8080", "ftp://h", "http://", "http://user@h/v1"}},
	"nats.ca_file":      {[]string{"/ca.pem"}, []string{"ca.pem"}},
	"nats.cert_file":    {[]string{"/c.pem"}, []string{"c.pem"}},
	"nats.creds_file":   {[]string{"/c.creds"}, []string{"c.creds"}},
	"nats.key_file":     {[]string{"/k.pem"}, []string{"k.pem"}},
	"nats.listen":       {[]string{"127.0.0.1:4222", "[::1]:0"}, []string{"0.0.0.0:4222", "localhost:4222", "127.0.0.1", "127.0.0.1:70000"}},
	"nats.replicas":     {[]string{"0", "5"}, []string{"6", "-1", "x"}},
	"nats.url":          {[]string{"nats://h:4222", "tls://a:1, tls://b:2"}, []string{"h:4222", "http://h"}},
	"root":              {[]string{"/", "/mnt"}, []string{"mnt"}},
	"socket":            {[]string{"/run/x.sock"}, []string{"x.sock", "/" + strings.Repeat("x", 101)}},
	"state_dir":         {[]string{"/var/lib/x"}, []string{"x"}},
	"store_budget":      {[]string{"0", "4294967296"}, []string{"-1", "4G"}},
	"thread_pool_size":  {[]string{"1", "64"}, []string{"0", "65"}},
}

// TestConfigCheckAgreesWithDaemon passes each value to 'cortex config check', as a line of a
// file and as a variable, and to the daemon's code that uses it.
func TestConfigCheckAgreesWithDaemon(t *testing.T) {
	for _, k := range config.SettingSpecs() {
		if _, ok := settingValues[k.Name]; !ok {
			t.Errorf("%s has no values here", k.Name)
		}
	}
	for name, values := range settingValues {
		for _, v := range values.right {
			checkSetting(t, name, v, true)
		}
		for _, v := range values.wrong {
			checkSetting(t, name, v, false)
		}
	}
}

func checkSetting(t *testing.T, name, value string, right bool) {
	t.Helper()
	k, err := config.FindSetting(name)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s = %q\n", name, value)
	if k.IsNumber && strings.Trim(value, "-0123456789") == "" {
		line = name + " = " + value + "\n"
	}
	if _, err := config.Parse("f", []byte(line)); (err == nil) != right {
		t.Errorf("file with %s: %v", strings.TrimSpace(line), err)
	}
	env := map[string]string{k.EnvName(): value}
	if provider, _, ok := strings.Cut(strings.TrimPrefix(name, "llm."), "."); ok && strings.HasPrefix(name, "llm.") {
		env["CORTEX_LLM_PROVIDERS"] = provider
		for variable, v := range map[string]string{"CORTEX_LLM_NEAR_URL": "http://h/v1", "CORTEX_LLM_NEAR_MODEL": "m"} {
			if env[variable] == "" {
				env[variable] = v
			}
		}
	}
	get := func(variable string) string { return env[variable] }
	s, err := config.Load(config.Sources{Env: get, SystemFile: "/nonexistent/cortex.toml"})
	if err == nil {
		_, err = s.ModelProviders(get)
	}
	if (err == nil) != right {
		t.Errorf("%s=%q: %v", k.EnvName(), value, err)
	}
	if !strings.HasPrefix(name, "llm.") {
		return // the daemon reads these with Load
	}
	m := newLLMProviders(s, get)
	defer m.Close()
	if m.currentRouter(); (m.configErr == nil) != right {
		t.Errorf("daemon with %s=%q: %v", k.EnvName(), value, m.configErr)
	}
}

// TestConfigCheckReportsCombinations tests settings that exclude or require each other.
func TestConfigCheckReportsCombinations(t *testing.T) {
	for _, tc := range []struct {
		env   []string
		right bool
	}{
		{[]string{"CORTEX_NATS_URL=tls://h:1", "CORTEX_NATS_LISTEN=127.0.0.1:1"}, false},
		{[]string{"CORTEX_NATS_URL=tls://h:1", "CORTEX_NATS_CERT_FILE=/c"}, false},
		{[]string{"CORTEX_NATS_URL=tls://h:1", "CORTEX_NATS_CERT_FILE=/c", "CORTEX_NATS_KEY_FILE=/k"}, true},
		{[]string{"CORTEX_NATS_LISTEN=127.0.0.1:1", "CORTEX_NATS_CERT_FILE=/c"}, true}, // not used without a cluster
		{[]string{"CORTEX_LLM_PROVIDERS=near", "CORTEX_LLM_NEAR_MODEL=m"}, false},
	} {
		get := func(variable string) string {
			i := slices.IndexFunc(tc.env, func(s string) bool { return strings.HasPrefix(s, variable+"=") })
			if i < 0 {
				return ""
			}
			return strings.TrimPrefix(tc.env[i], variable+"=")
		}
		s, err := config.Load(config.Sources{Env: get, SystemFile: "/nonexistent/cortex.toml"})
		if err == nil {
			_, err = s.ModelProviders(get)
		}
		if (err == nil) != tc.right {
			t.Errorf("%v: %v", tc.env, err)
		}
		m := newLLMProviders(s, get)
		m.currentRouter()
		m.Close()
		if strings.HasPrefix(tc.env[0], "CORTEX_LLM") && (m.configErr == nil) != tc.right {
			t.Errorf("daemon with %v: %v", tc.env, m.configErr)
		}
	}
}
