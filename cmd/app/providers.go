package app

import "cortex/cmd/config"

// Provider is a configured model provider, and whether it is used. Its JSON form is part
// of 'cortex llm providers --json'.
type Provider struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	URL      string `json:"url"`
	Model    string `json:"model"`
	Key      string `json:"key"` // where it is from, or "none"
	Price    string `json:"price,omitempty"`
	RPM      int    `json:"rpm,omitempty"`
	TPM      int    `json:"tpm,omitempty"`
	Used     bool   `json:"used"`
	Why      string `json:"why,omitempty"` // it is not
}

// Provider describes a configured provider.
func (s *Service) Provider(p config.ModelProvider) Provider {
	v := Provider{Name: p.Name, Protocol: p.Protocol, URL: p.URL, Model: p.Model, Price: p.Price, RPM: p.RPM, TPM: p.TPM, Key: "none"}
	key, from, err := s.Settings.ModelKey(p.Name, s.Env)
	if key != "" {
		v.Key = from
	}
	switch {
	case err != nil:
		v.Why = err.Error()
	case p.Model == "":
		v.Why = "no model is set"
	case p.URL == "":
		v.Why = "no address is set"
	case p.NeedsKey && key == "":
		v.Why = "it has no key: cortex llm key " + p.Name
	default:
		v.Used = true
	}
	return v
}
