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

// ReadyFDEnv names the environment variable that holds the descriptor on which a
// started daemon says that it is ready.
const ReadyFDEnv = "CORTEX_READY_FD"

// ReadyNotifier tells whoever started this process, on the descriptor that
// [ReadyFDEnv] names, that it is ready or why not. Without the variable it does
// nothing.
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

// errExitedBeforeReady: it said nothing.
var errExitedBeforeReady = errors.New("it ended before it was ready")

// awaitReady reads what the daemon says: "ready", or its failure as JSON. Nothing
// means that it died.
func awaitReady(ctx context.Context, r *os.File, s config.Settings) error {
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(r).ReadString('\n')
		said <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-said:
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
