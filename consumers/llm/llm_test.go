package llm_test

import (
	"errors"
	"testing"

	"cortex/consumers/llm"
	"cortex/events"
)

func TestAddressIsChecked(t *testing.T) {
	for _, url := range []string{"", "ftp://x", "http://", "/etc/passwd", "https://user:pw@host", "javascript:alert(1)"} {
		if _, err := llm.NewClient(llm.Config{Name: "test", URL: url, Model: "m"}, nil); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%q: got %v", url, err)
		}
	}
	if _, err := llm.NewClient(llm.Config{Name: "test", URL: "https://host"}, nil); !errors.Is(err, events.ErrUsage) {
		t.Errorf("no model: got %v", err)
	}
	if _, err := llm.NewClient(llm.Config{Name: "test", URL: "https://host/v1/", Model: "m"}, nil); err != nil {
		t.Errorf("a good address: %v", err)
	}
}
