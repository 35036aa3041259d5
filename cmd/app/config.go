package app

import (
	"errors"
	"slices"
	"strings"

	"cortex/cmd/config"
	"cortex/events"
)

// ConfigListing is every setting. Its JSON form is 'cortex config show --json'.
type ConfigListing struct {
	Version  int             `json:"version"`
	Files    []string        `json:"files"` // in the order of reading; later files win
	Settings []SettingStatus `json:"settings"`
}

// SettingStatus is a setting with its value and the place that set it.
type SettingStatus struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	IsNumber    bool   `json:"-"`
	Description string `json:"about"`
	Env         string `json:"env"` // the environment variable that sets it
	Origin      string `json:"origin"`
	File        string `json:"file,omitempty"`
	Line        int    `json:"line,omitempty"`
	Column      int    `json:"column,omitempty"`
}

// ListSettings lists every setting, sorted by name.
func (s *Service) ListSettings() (ConfigListing, error) {
	list := ConfigListing{Version: 1, Files: s.ConfigSources().Files()}
	settings, origins, err := config.LoadWithOrigins(s.ConfigSources())
	if err != nil {
		return list, err
	}
	specs := config.SettingSpecs()
	for name := range origins {
		known := slices.ContainsFunc(specs, func(x config.SettingSpec) bool { return x.Name == name })
		if k, err := config.FindSetting(name); err == nil && !known {
			specs = append(specs, k) // of one model provider
		}
	}
	slices.SortFunc(specs, func(a, b config.SettingSpec) int { return strings.Compare(a.Name, b.Name) })
	for _, k := range specs {
		o := origins[k.Name]
		list.Settings = append(list.Settings, SettingStatus{
			Key: k.Name, Value: k.Value(settings), IsNumber: k.IsNumber, Description: k.Description, Env: k.EnvName(),
			Origin: o.String(), File: o.File, Line: o.Line, Column: o.Column,
		})
	}
	return list, nil
}

// Setting returns one setting.
func (s *Service) Setting(key string) (SettingStatus, error) {
	k, err := config.FindSetting(key)
	if err != nil {
		return SettingStatus{}, err
	}
	settings, origins, err := config.LoadWithOrigins(s.ConfigSources())
	if err != nil {
		return SettingStatus{}, err
	}
	return SettingStatus{Key: k.Name, Value: k.Value(settings), Origin: origins[k.Name].String()}, nil
}

// SettingEdit is the result of a change of a settings file.
type SettingEdit struct {
	Key, File string
	Changed   bool
	// Overridden is the environment variable that hides the setting; "" if none does.
	Overridden string
}

// ChangeSetting writes a setting into the file of this user.
func (s *Service) ChangeSetting(key, value string) (SettingEdit, error) {
	return s.editConfig(key, func(path string, text []byte) ([]byte, bool, error) {
		out, err := config.Set(path, text, key, value)
		return out, true, err
	})
}

// UnsetSetting removes a setting from the file of this user.
func (s *Service) UnsetSetting(key string) (SettingEdit, error) {
	return s.editConfig(key, func(path string, text []byte) ([]byte, bool, error) { return config.Unset(path, text, key) })
}

func (s *Service) editConfig(key string, edit func(path string, text []byte) ([]byte, bool, error)) (SettingEdit, error) {
	path, err := s.configFile()
	if err != nil {
		return SettingEdit{}, err
	}
	text, err := config.ReadFileText(path, s.UID)
	if err != nil {
		return SettingEdit{}, err
	}
	text, changed, err := edit(path, text)
	if err == nil && changed {
		err = config.WriteFile(path, text)
	}
	if err != nil {
		return SettingEdit{}, err
	}
	out := SettingEdit{Key: key, File: path, Changed: changed}
	if k, err := config.FindSetting(key); err == nil && s.Env(k.EnvName()) != "" {
		out.Overridden = k.EnvName()
	}
	return out, nil
}

// configFile returns the settings file that this user may change.
func (s *Service) configFile() (string, error) {
	files := s.ConfigSources().Files()
	if s.UID != 0 && len(files) < 2 {
		return "", &events.Error{
			Op: "app.Config", Kind: events.ErrUsage, Subject: "HOME", Err: errors.New("it is not set, so there is no directory for your settings"),
			Hint: "set HOME or XDG_CONFIG_HOME",
		}
	}
	return files[len(files)-1], nil
}

// CheckConfig returns every problem of the settings in force, or of a file if path is not
// empty. It fails with ErrNotFound if the file does not exist.
func (s *Service) CheckConfig(path string) (problems []events.Failure, err error) {
	problems = []events.Failure{}
	if path == "" {
		var settings config.Settings
		settings, err = config.Load(s.ConfigSources())
		_, modelErr := settings.ModelProviders(s.Env)
		err = joinNew(err, modelErr)
	} else {
		if !PathExists(path) {
			return nil, &events.Error{Op: "app.CheckConfig", Kind: events.ErrNotFound, Subject: path, Err: errors.New("no such file")}
		}
		_, err = config.ReadFile(path, max(s.UID, 1)) // the owner of the file does not matter
	}
	for _, e := range splitErrors(err) {
		problems = append(problems, events.FailureOf(e))
	}
	return problems, nil
}

// joinNew adds the errors of more with subjects that err does not have yet.
func joinNew(err, more error) error {
	subjects := map[string]bool{}
	for _, e := range splitErrors(err) {
		subjects[events.FailureOf(e).Subject] = true
	}
	for _, e := range splitErrors(more) {
		if !subjects[events.FailureOf(e).Subject] {
			err = errors.Join(err, e)
		}
	}
	return err
}

// splitErrors returns the errors that were joined into err.
func splitErrors(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, splitErrors(e)...)
	}
	return out
}
