package apt

import (
	"errors"
	"os/exec"
	"sync"
	"testing"

	"cortex/events"
)

// A child that another goroutine starts at the same time has a copy of the lock's
// descriptor until exec. A later step must not take that for an earlier step.
func TestRunningLockIsFreedWhileChildrenStart(t *testing.T) {
	m := New(Config{WorkDir: t.TempDir()})
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("/bin/true").Run()
				}
			}
		})
	}
	for i := range 300 {
		files, err := m.openFiles("step")
		if err != nil {
			t.Errorf("step %d: %v", i, err)
			break
		}
		if _, err := m.openFiles("other"); !errors.Is(err, events.ErrLockBusy) {
			t.Errorf("two steps at once: %v", err)
		}
		files.removeAndUnlock()
		files.close()
		if waited, err := m.waitForOrphans(t.Context()); waited || err != nil {
			t.Errorf("step %d: waited %v, %v", i, waited, err)
		}
	}
	close(stop)
	others.Wait()
}
