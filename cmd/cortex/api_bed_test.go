package main_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// get sends a request to the daemon of the machine and returns the status and the answer.
func (m *machine) get(path string) (int, any) {
	m.t.Helper()
	socket := filepath.Join(m.Root(), "run/cortex/cortexd.sock")
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	r, err := c.Get("http://cortex" + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Body.Close()
	var v any
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		m.t.Fatalf("%s: %v", path, err)
	}
	return r.StatusCode, v
}

func TestAPIQueriesEqualTheCommands(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app", "--yes")
	m.must(0, "install", "cowsay", "--yes")
	m.must(0, "daemon", "start")
	for path, args := range map[string][]string{
		"/v1/history":                         {"history", "--json"},
		"/v1/history?package=cowsay":          {"history", "--package", "cowsay", "--json"},
		"/v1/history?status=failed":           {"history", "--status", "failed", "--json"},
		"/v1/history/last":                    {"show", "last", "--json"},
		"/v1/history/1":                       {"show", "1", "--json"},
		"/v1/packages?status=installed":       {"packages", "--json"},
		"/v1/packages?name=toy-*&mark=manual": {"packages", "toy-*", "--manual", "--all", "--json"},
	} {
		code, got := m.get(path)
		var want any
		if err := json.Unmarshal([]byte(m.must(0, args...).out), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); code != http.StatusOK || diff != "" {
			t.Errorf("%s: status %d (-command +API):\n%s", path, code, diff)
		}
	}
	for path, want := range map[string]int{
		"/v1/history/99":         http.StatusNotFound,
		"/v1/history?limit=-1":   http.StatusBadRequest,
		"/v1/history?since=then": http.StatusBadRequest,
		"/v1/history?status=x":   http.StatusBadRequest,
	} {
		if code, _ := m.get(path); code != want {
			t.Errorf("%s: status %d, want %d", path, code, want)
		}
	}
}
