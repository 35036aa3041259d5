// Package client calls the daemon's API and starts a daemon if none runs.
//
// It promises: an accepted request is stored once, even if the daemon dies several times,
// because the client repeats it with the same id; a followed transaction continues at the
// last received event, in a new daemon if necessary; a daemon counts as running only if it
// answers, not because a process or a file exists.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/events"
	"cortex/projections/history"
)

// Timeouts.
const (
	pingTimeout   = 3 * time.Second
	answerTimeout = 30 * time.Second // for an answer, over all attempts
	retryInterval = 20 * time.Millisecond
)

// DaemonStarter starts a daemon. It returns when the daemon answers, or the reason why it
// did not start.
type DaemonStarter func(ctx context.Context) error

// Client is a connection to a daemon. It is safe for concurrent use.
type Client struct {
	// OnUnresponsive, if set, is called when the socket accepts a connection but the
	// daemon does not answer. timeout is how long the client will wait. Set it before the
	// first call.
	OnUnresponsive func(timeout time.Duration)

	settings config.Settings
	start    DaemonStarter
	http     *http.Client
	build    string
	tty      string // terminal of this process, "" without one
	sudoUser string // user who called sudo, "" without sudo
}

// New returns a client. With a nil start it never starts a daemon.
func New(s config.Settings, build string, start DaemonStarter) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.Socket)
	}
	tty, _ := os.Readlink("/proc/self/fd/0")
	tty, ok := strings.CutPrefix(tty, "/dev/")
	if !ok || !strings.HasPrefix(tty, "pts/") {
		tty = ""
	}
	return &Client{
		settings: s, start: start, build: build, tty: tty, sudoUser: os.Getenv("SUDO_USER"),
		http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 2, IdleConnTimeout: 10 * time.Second}},
	}
}

// Close closes idle connections, so that an idle daemon can stop.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ping identifies the daemon. It fails with ErrUnavailable if none answers.
func (c *Client) Ping(ctx context.Context) (api.Ping, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var p api.Ping
	err := c.call(ctx, http.MethodGet, "/v1/ping", nil, &p)
	return p, err
}

// Submit submits a request and returns its position in the stream of requests.
func (c *Client) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	body, err := json.Marshal(events.Record{Event: e})
	if err != nil {
		return 0, fmt.Errorf("encode request: %w", err)
	}
	var accepted api.PositionReply
	err = c.callWithRetry(ctx, func() error {
		return c.call(ctx, http.MethodPost, "/v1/requests", body, &accepted)
	})
	return accepted.Position, err
}

// WaitProjected returns when the read models have reached p.
func (c *Client) WaitProjected(ctx context.Context, p events.Position) error {
	return c.callWithRetry(ctx, func() error {
		return c.call(ctx, http.MethodGet, "/v1/wait?position="+strconv.FormatUint(uint64(p), 10), nil, &api.PositionReply{})
	})
}

// Status returns the state of the daemon. It does not start one.
func (c *Client) Status(ctx context.Context) (api.DaemonStatus, error) {
	var s api.DaemonStatus
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// History lists transactions, newest first; see api.HistoryReply.
func (c *Client) History(ctx context.Context, f history.Filter) (api.HistoryReply, error) {
	q := url.Values{"limit": {strconv.Itoa(f.Limit)}}
	for name, value := range map[string]string{"package": string(f.Package), "status": string(f.State)} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	var reply api.HistoryReply
	err := c.callWithRetry(ctx, func() error {
		return c.call(ctx, http.MethodGet, "/v1/history?"+q.Encode(), nil, &reply)
	})
	return reply, err
}

// Replay rebuilds the named read model, or all of them for "". With verify it compares
// them with a rebuild instead.
func (c *Client) Replay(ctx context.Context, projection string, verify bool) ([]api.ReplayResult, error) {
	var done []api.ReplayResult
	q := url.Values{"projection": {projection}, "verify": {strconv.FormatBool(verify)}}
	err := c.callWithRetry(ctx, func() error {
		return c.call(ctx, http.MethodPost, "/v1/replay?"+q.Encode(), nil, &done)
	})
	return done, err
}

// CollectGarbage removes unneeded blobs; see [api.Daemon].
func (c *Client) CollectGarbage(ctx context.Context, forget time.Time) (done events.GarbageCollected, err error) {
	q := url.Values{}
	if !forget.IsZero() {
		q.Set("forget", forget.UTC().Format(time.RFC3339Nano))
	}
	return done, c.call(ctx, http.MethodPost, "/v1/collect?"+q.Encode(), nil, &done)
}

// RecordExternalChanges makes a running daemon record the changes that the hooks have
// spooled. It does not start one.
func (c *Client) RecordExternalChanges(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/observe", nil, &struct{}{})
}

// Stop makes the daemon stop when no transaction runs, and waits for the end of its
// process: the store can still be open after the socket is closed.
func (c *Client) Stop(ctx context.Context) error {
	p, err := c.Ping(ctx)
	if err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodPost, "/v1/stop", nil, &struct{}{}); err != nil {
		return err
	}
	c.Close()
	for processExists(p.PID) {
		if err := sleep(ctx, retryInterval); err != nil {
			return err
		}
	}
	return nil
}

// processExists reports whether a process exists, of this or another user.
func processExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// callWithRetry repeats a call until a daemon answers. It starts one if necessary.
func (c *Client) callWithRetry(ctx context.Context, call func() error) error {
	deadline := time.Now().Add(answerTimeout)
	for {
		if _, err := c.EnsureRunning(ctx); err != nil {
			return err
		}
		err := call()
		if !errors.Is(err, events.ErrUnavailable) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, retryInterval); err != nil {
			return err
		}
	}
}

// call makes one HTTP call.
func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return c.unresponsiveError(err)
	}
	return nil
}

// do sends an HTTP request. It returns an error response as an error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://cortex"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if c.tty != "" {
		req.Header.Set(api.HeaderTTY, c.tty)
	}
	if c.sudoUser != "" {
		req.Header.Set(api.HeaderSudoUser, c.sudoUser)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unresponsiveError(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var f struct {
		Error events.Failure `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error.Kind == "" {
		return nil, c.unresponsiveError(fmt.Errorf("unexpected response: %s", resp.Status))
	}
	return nil, f.Error.AsError()
}

// unresponsiveError returns the error for a daemon that does not answer.
func (c *Client) unresponsiveError(err error) error {
	var dialErr *net.OpError
	if errors.As(err, &dialErr) && errors.Is(err, errPermission) {
		return &events.Error{Op: "client.do", Kind: events.ErrConfirmation, Subject: c.settings.Socket, Err: err, Hint: "run the command with sudo"}
	}
	return &events.Error{Op: "client.do", Kind: events.ErrUnavailable, Subject: "daemon", Err: err, Hint: "see 'cortex status' and " + c.settings.LogFile()}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
