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

// ModelProvider is how a model is reached, as it was set.
type ModelProvider struct {
	Name     string
	Protocol string // anthropic or openai
	URL      string
	Model    string
	RPM, TPM int    // per minute; 0 is no limit
	Price    string // "3/15", dollars per million tokens; "" when nobody said
	NeedsKey bool   // it is of no use without one
}

// ModelSettings is everything about models that can be set.
type ModelSettings struct {
	Providers                    []ModelProvider
	BudgetPerDay, BudgetPerMonth string // dollars; "" is no limit
}

// knownProviders are the providers that need nothing but a key. A model's name can be set;
// these are what is asked for otherwise.
var knownProviders = []ModelProvider{
	{Name: "anthropic", Protocol: "anthropic", URL: "https://api.anthropic.com", Model: "claude-sonnet-4-5", NeedsKey: true},
	{Name: "openai", Protocol: "openai", URL: "https://api.openai.com/v1", Model: "gpt-5-mini", NeedsKey: true},
	{Name: "moonshot", Protocol: "openai", URL: "https://api.moonshot.ai/v1", Model: "kimi-k2-0905-preview", NeedsKey: true},
	{Name: "ollama", Protocol: "openai", URL: "http://127.0.0.1:11434/v1", Price: "0/0"},
}

// ParseProviderName checks the name of a provider: it becomes part of variables
// and of a file's name.
func ParseProviderName(name string) (string, error) {
	wrong := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if name == "" || len(name) > 31 || strings.ContainsFunc(name, wrong) || name[0] < 'a' {
		return "", &events.Error{Op: "config.ParseProviderName", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("is not the name of a provider"), Hint: "small letters, digits and hyphens"}
	}
	return name, nil
}

// LoadModelSettings reads what is set about models. Those that cannot be used – without a
// model, or without the key that they need – are left out.
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

// ModelProviders gives every provider that is known or set, usable or not, in the
// order in which they are asked.
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

// applyEnv takes what the environment says of a provider.
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
			errs = append(errs, &events.Error{Op: "config.LoadModels", Kind: events.ErrUsage, Subject: variable, Err: fmt.Errorf("%q is not %w", v, err)})
		}
		return v, true
	}
	for what, into := range map[string]*string{"url": &p.URL, "model": &p.Model, "price": &p.Price, "protocol": &p.Protocol} {
		if v, ok := value(what); ok {
			*into = v
			p.NeedsKey = p.NeedsKey && what != "url" // a server of one's own may want none
		}
	}
	for what, into := range map[string]*int{"rpm": &p.RPM, "tpm": &p.TPM} {
		if v, ok := value(what); ok {
			*into, _ = parseRate(v) // checked
		}
	}
	if p.Model != "" && p.URL == "" {
		errs = append(errs, &events.Error{Op: "config.LoadModels", Kind: events.ErrUsage, Subject: prefix + "URL", Err: errors.New("is missing, and the provider has a model"), Hint: "set llm." + p.Name + ".url"})
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

// maxKeyBytes bounds a key.
const maxKeyBytes = 4 << 10

// ModelKey finds a provider's key, and tells where: a credential of the service manager,
// a file that only its owner reads, or the environment. No key is "".
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

// readKeyFile reads a file that holds a key. One that others may read is refused.
func readKeyFile(path string, uid int, strict bool) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &events.Error{Op: "config.Key", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", &events.Error{Op: "config.Key", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if strict && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != uid) {
		return "", &events.Error{Op: "config.Key", Kind: events.ErrUsage, Subject: path, Err: errors.New("a key's file must be its user's own and readable by nobody else"), Hint: "run: chmod 600 " + path}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyBytes))
	if err != nil {
		return "", &events.Error{Op: "config.Key", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	return strings.TrimSpace(string(b)), nil
}

// SaveModelKey puts a key into its file; "" removes it.
func (s Settings) SaveModelKey(name, key string, env func(string) string) (path string, err error) {
	dir := s.ModelKeysDir(env)
	path = filepath.Join(dir, name)
	if key == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return path, fmt.Errorf("remove a key: %w", err)
		}
		return path, nil
	}
	if len(key) > maxKeyBytes || strings.ContainsAny(key, " \t\r\n\x00") {
		return path, &events.Error{Op: "config.SaveKey", Kind: events.ErrUsage, Subject: "the key", Err: errors.New("is not one line without blanks")}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return path, fmt.Errorf("make the keys' directory: %w", err)
	}
	if err := atomicfile.Write(path, []byte(key+"\n"), atomicfile.Options{Mode: 0o600, Temp: "." + name + "-*"}); err != nil {
		return path, fmt.Errorf("save a key: %w", err)
	}
	return path, nil
}
