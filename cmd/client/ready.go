package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"cortex/cmd/config"
	"cortex/events"
)

// ReadyFDEnv is the environment variable with the number of the file descriptor on which a
// started daemon reports that it is ready.
const ReadyFDEnv = "CORTEX_READY_FD"

// ReadyNotifier returns a function that reports the start to the parent process: nil for
// ready, or why the daemon does not start. fd is the value of [ReadyFDEnv]; with an
// invalid value the function does nothing.
func ReadyNotifier(fd string) func(error) {
	var n uintptr
	if _, err := fmt.Sscanf(fd, "%d", &n); err != nil || n < 3 {
		return func(error) {}
	}
	return func(err error) {
		f := os.NewFile(n, "ready")
		defer f.Close()
		if err == nil {
			fmt.Fprintln(f, "ready")
			return
		}
		_ = json.NewEncoder(f).Encode(events.FailureOf(err))
	}
}

// errExitedBeforeReady means that the daemon ended without a report.
var errExitedBeforeReady = errors.New("the daemon ended before it was ready")

// awaitReady reads the daemon's report: "ready", or its failure as JSON. An empty report
// means that the daemon died.
func awaitReady(ctx context.Context, r *os.File, s config.Settings) error {
	report := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(r).ReadString('\n')
		report <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-report:
		if line == "ready" {
			return nil
		}
		var f events.Failure
		if json.Unmarshal([]byte(line), &f) == nil && f.Kind != "" {
			return f.AsError()
		}
		return &events.Error{Op: "client.ready", Kind: events.ErrUnavailable, Subject: "daemon", Err: errExitedBeforeReady, Hint: "see " + s.LogFile()}
	}
}
