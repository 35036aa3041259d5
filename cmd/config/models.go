package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"cortex/consumers/llm/router"
	"cortex/events"
	"cortex/internal/atomicfile"
)

// ModelProvider has the settings of one model provider.
type ModelProvider struct {
	Name     string
	Protocol string // anthropic or openai
	URL      string
	Model    string
	RPM, TPM int    // requests and tokens per minute; 0 is unlimited
	Price    string // "3/15", dollars per million tokens; "" if unknown
	NeedsKey bool   // it cannot be used without a key
}

// ModelSettings are all settings of models.
type ModelSettings struct {
	Providers                    []ModelProvider
	BudgetPerDay, BudgetPerMonth string // dollars; "" is unlimited
}

// knownProviders are the providers that need only a key. Their models are defaults that a
// setting can override.
var knownProviders = []ModelProvider{
	{Name: "anthropic", Protocol: "anthropic", URL: "https://api.anthropic.com", Model: "claude-sonnet-4-5", NeedsKey: true},
	{Name: "openai", Protocol: "openai", URL: "https://api.openai.com/v1", Model: "gpt-5-mini", NeedsKey: true},
	{Name: "moonshot", Protocol: "openai", URL: "https://api.moonshot.ai/v1", Model: "kimi-k2-0905-preview", NeedsKey: true},
	{Name: "ollama", Protocol: "openai", URL: "http://127.0.0.1:11434/v1", Price: "0/0"},
}

// ParseProviderName checks the name of a provider. The name becomes part of environment
// variables and of a file name.
func ParseProviderName(name string) (string, error) {
	invalid := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > 31 || strings.ContainsFunc(name, invalid) || name[0] < 'a' {
		return "", &events.Error{Op: "config.ParseProviderName", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("invalid name of a provider"), Hint: "use lower-case letters, digits and hyphens"}
	}
	return name, nil
}

// LoadModelSettings reads the settings of models. It leaves out providers that cannot be
// used: those without a model, and those without a key that they need.
func (s Settings) LoadModelSettings(env func(string) string) (ModelSettings, error) {
	env = s.ModelEnv(env)
	all, err := modelProviders(env)
	m := ModelSettings{BudgetPerDay: env("CORTEX_LLM_BUDGET_DAY"), BudgetPerMonth: env("CORTEX_LLM_BUDGET_MONTH")}
	for _, p := range all {
		if p.Model == "" {
			continue
		}
		if p.NeedsKey {
			key, _, keyErr := s.ModelKey(p.Name, env)
			if keyErr != nil {
				err = errors.Join(err, keyErr)
			}
			if key == "" {
				continue
			}
		}
		m.Providers = append(m.Providers, p)
	}
	return m, err
}

// ModelProviders returns every known or configured provider, usable or not, in the order
// in which they are used.
func (s Settings) ModelProviders(env func(string) string) ([]ModelProvider, error) {
	return modelProviders(s.ModelEnv(env))
}

func modelProviders(env func(string) string) ([]ModelProvider, error) {
	var names []string
	for _, k := range knownProviders {
		names = append(names, k.Name)
	}
	if v := env("CORTEX_LLM_PROVIDERS"); v != "" {
		names = splitProviders(v)
	}
	var out []ModelProvider
	var errs []error
	for _, name := range names {
		if _, err := ParseProviderName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		p := ModelProvider{Name: name, Protocol: "openai"}
		if i := slices.IndexFunc(knownProviders, func(k ModelProvider) bool { return k.Name == name }); i >= 0 {
			p = knownProviders[i]
		}
		errs = append(errs, p.applyEnv(env))
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// applyEnv applies the environment's settings of a provider.
func (p *ModelProvider) applyEnv(env func(string) string) error {
	prefix := "CORTEX_LLM_" + router.EnvName(p.Name) + "_"
	var errs []error
	value := func(what string) (string, bool) {
		variable := prefix + strings.ToUpper(what)
		v := env(variable)
		if v == "" {
			return "", false
		}
		if err := providerSettings[what].check(v); err != nil {
			errs = append(errs, &events.Error{Op: "config.LoadModelSettings", Kind: events.ErrUsage, Subject: variable, Err: fmt.Errorf("invalid value %q: must be %w", v, err)})
		}
		return v, true
	}
	for what, into := range map[string]*string{"url": &p.URL, "model": &p.Model, "price": &p.Price, "protocol": &p.Protocol} {
		if v, ok := value(what); ok {
			*into = v
			p.NeedsKey = p.NeedsKey && what != "url" // a user's own server may not need one
		}
	}
	for what, into := range map[string]*int{"rpm": &p.RPM, "tpm": &p.TPM} {
		if v, ok := value(what); ok {
			*into, _ = parseRate(v) // validated by value
		}
	}
	if p.Model != "" && p.URL == "" {
		errs = append(errs, &events.Error{Op: "config.LoadModelSettings", Kind: events.ErrUsage, Subject: prefix + "URL", Err: errors.New("not set, but the provider has a model"), Hint: "set llm." + p.Name + ".url"})
	}
	return errors.Join(errs...)
}

// ModelKeysDir is the directory of the providers' keys.
func (s Settings) ModelKeysDir(env func(string) string) string {
	if v := env("CORTEX_KEYS_DIR"); filepath.IsAbs(v) {
		return v
	}
	if s.UID == 0 {
		return "/etc/cortex/keys"
	}
	if v := env("XDG_CONFIG_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "cortex", "keys")
	}
	return filepath.Join(env("HOME"), ".config", "cortex", "keys")
}

// maxKeyBytes bounds the key of a provider.
const maxKeyBytes = 4 << 10

// ModelKey returns a provider's key and its source: a credential of the service manager, a
// file that only its owner can read, or an environment variable. It returns "" if there
// is no key.
func (s Settings) ModelKey(name string, env func(string) string) (key, from string, err error) {
	if dir := env("CREDENTIALS_DIRECTORY"); filepath.IsAbs(dir) {
		path := filepath.Join(dir, "cortex-"+name+"-key")
		if key, err := readKeyFile(path, s.UID, false); err != nil || key != "" {
			return key, path, err
		}
	}
	path := filepath.Join(s.ModelKeysDir(env), name)
	if key, err := readKeyFile(path, s.UID, true); err != nil || key != "" {
		return key, path, err
	}
	upper := router.EnvName(name)
	for _, variable := range []string{"CORTEX_" + upper + "_API_KEY", upper + "_API_KEY"} {
		if v := strings.TrimSpace(env(variable)); v != "" {
			return v, variable, nil
		}
	}
	return "", "", nil
}

// readKeyFile reads the key in a file. If strict it refuses a file that other users can
// read.
func readKeyFile(path string, uid int, strict bool) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &events.Error{Op: "config.ModelKey", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", &events.Error{Op: "config.ModelKey", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if strict && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != uid) {
		return "", &events.Error{Op: "config.ModelKey", Kind: events.ErrUsage, Subject: path, Err: fmt.Errorf("the key file must be owned by user %d and readable only by its owner", uid), Hint: fmt.Sprintf("run: chown %d %s && chmod 600 %s", uid, path, path)}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyBytes))
	if err != nil {
		return "", &events.Error{Op: "config.ModelKey", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	return strings.TrimSpace(string(b)), nil
}

// SaveModelKey writes a key to its file. An empty key removes the file.
func (s Settings) SaveModelKey(name, key string, env func(string) string) (path string, err error) {
	dir := s.ModelKeysDir(env)
	path = filepath.Join(dir, name)
	if key == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return path, fmt.Errorf("remove the key: %w", err)
		}
		return path, nil
	}
	if len(key) > maxKeyBytes || strings.ContainsAny(key, " \t\r\n\x00") {
		return path, &events.Error{Op: "config.SaveModelKey", Kind: events.ErrUsage, Subject: "key", Err: fmt.Errorf("must be one line of at most %d bytes without blanks", maxKeyBytes)}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return path, fmt.Errorf("create the directory of keys: %w", err)
	}
	if err := atomicfile.Write(path, []byte(key+"\n"), atomicfile.Options{Mode: 0o600, Temp: "." + name + "-*"}); err != nil {
		return path, fmt.Errorf("save the key: %w", err)
	}
	return path, nil
}
