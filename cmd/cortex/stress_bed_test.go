package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"cortex/cmd/client"
	"cortex/cmd/config"
)

// TestThousandClientsMeetOneDaemon starts twenty commands at once without a daemon, then a
// thousand clients. All of them use the same daemon.
func TestThousandClientsMeetOneDaemon(t *testing.T) {
	m := setup(t)
	started := make([]result, 20)
	var wg sync.WaitGroup
	for i := range started {
		wg.Go(func() { started[i] = m.cortex("daemon", "start") })
	}
	wg.Wait()
	for _, r := range started {
		if r.code != 0 || r.out != started[0].out {
			t.Errorf("exit %d: %s%s, the first command printed: %s", r.code, r.out, r.err, started[0].out)
		}
	}
	s, err := config.Load(config.Sources{UID: os.Getuid(), Env: func(name string) string {
		return map[string]string{"CORTEX_STATE_DIR": filepath.Join(m.Root(), "var/lib/cortex")}[name]
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Socket = filepath.Join(m.Root(), "run/cortex/cortexd.sock")
	met := make([]string, 100)
	errs := make([]error, 100)
	for i := range met {
		wg.Go(func() {
			for range 10 {
				c := client.New(s, "test", nil)
				p, err := c.Ping(t.Context())
				c.Close()
				if at := fmt.Sprint(p.PID, p.Host); err == nil && met[i] != "" && met[i] != at {
					err = fmt.Errorf("two daemons answered: %s and %s", met[i], at)
				} else {
					met[i] = at
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	for _, at := range met {
		if at != met[0] {
			t.Errorf("two daemons answered: %s and %s", met[0], at)
		}
	}
}
