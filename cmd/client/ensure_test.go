package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A socket of systemd accepts connections before the daemon behind it is ready.
func TestEnsureRunningWaitsForDaemonBehindSocket(t *testing.T) {
	dir := t.TempDir()
	s := config.Settings{StateDir: dir, Socket: filepath.Join(dir, "d.sock")}
	l, err := net.Listen("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) <= 2 { // one more than the pings of a start
			<-r.Context().Done() // the caller gave up
			return
		}
		_ = json.NewEncoder(w).Encode(api.Ping{Protocol: api.ProtocolVersion, PID: 42})
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		_ = server.Close()
		<-ended
	}()
	c := client.New(s, "test", func(context.Context) error {
		return errors.New("the socket is in use")
	})
	defer c.Close()
	if p, err := c.EnsureRunning(t.Context()); err != nil || p.PID != 42 {
		t.Errorf("%+v, %v", p, err)
	}
}
