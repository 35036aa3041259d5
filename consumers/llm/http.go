package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cortex/events"
)

// Config is how a provider is reached.
type Config struct {
	Name        string
	URL         string // the address before "/v1/…" or "/chat/completions"
	Model       string
	Key         func() (string, error) // asked for at every call; nil or "" for none
	IdleTimeout time.Duration          // 0 is DefaultIdleTimeout
	Now         func() time.Time       // nil is time.Now
}

// ValidateURL reports an error if a provider cannot have this URL.
func ValidateURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return fmt.Errorf("%q is not an http or https address without a user", s)
	}
	return nil
}

func (c Config) validate() error {
	if err := ValidateURL(c.URL); err != nil {
		return &events.Error{Op: "llm.New", Kind: events.ErrUsage, Subject: c.Name, Err: err}
	}
	if c.Model == "" {
		return &events.Error{Op: "llm.New", Kind: events.ErrUsage, Subject: c.Name, Err: errors.New("no model is named")}
	}
	return nil
}

// caller makes the HTTP calls of a provider.
type caller struct {
	Config
	client  *http.Client
	headers map[string]string
	auth    func(h http.Header, key string)
}

func newCaller(c Config, headers map[string]string, auth func(http.Header, string)) *caller {
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.URL = strings.TrimRight(c.URL, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	return &caller{Config: c, headers: headers, auth: auth, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close gives up idle connections.
func (c *caller) Close() { c.client.CloseIdleConnections() }

// Name implements [Provider].
func (c *caller) Name() string { return c.Config.Name }

// Model implements [Provider].
func (c *caller) Model() string { return c.Config.Model }

// newError makes an error of a class.
func (c *caller) newError(class ErrorClass, err error) *CallError {
	return &CallError{Provider: c.Config.Name, Class: class, Err: err}
}

// withIdleTimeout gives a context that ends when nothing was heard for as long as patience
// is; heard is to be called whenever something was.
func (c *caller) withIdleTimeout(ctx context.Context) (watched context.Context, heard, end func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.IdleTimeout, func() { cancel(errIdleTimeout) })
	return watched, func() { timer.Reset(c.IdleTimeout) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

var errIdleTimeout = errors.New("the server was silent for too long")

// classifyTransport classifies what went wrong between us and the server.
func (c *caller) classifyTransport(ctx context.Context, err error) *CallError {
	switch {
	case errors.Is(context.Cause(ctx), errIdleTimeout):
		return c.newError(TimedOut, errIdleTimeout)
	case ctx.Err() != nil:
		return c.newError(Cancelled, ctx.Err())
	}
	var u *url.Error
	if errors.As(err, &u) { // without the address: it is known, and long
		err = u.Err
	}
	return c.newError(Unavailable, err)
}

// send sends a request; body may be nil. The response is a good one.
func (c *caller) send(ctx context.Context, method, path string, body any) (*http.Response, *CallError) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, c.newError(BadRequest, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, payload)
	if err != nil {
		return nil, c.newError(BadRequest, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "cortex")
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	if c.Key != nil {
		key, err := c.Key()
		if err != nil {
			return nil, c.newError(Unauthorized, err)
		}
		if key != "" {
			c.auth(req.Header, key)
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, c.classifyTransport(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.classifyResponse(resp)
}

// classifyResponse classifies an answer that is none.
func (c *caller) classifyResponse(resp *http.Response) *CallError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	said := errorMessage(body)
	e := c.newError(Unavailable, errors.New(said))
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), c.Now())
	lower := strings.ToLower(said)
	switch code := resp.StatusCode; {
	case strings.Contains(lower, "insufficient_quota") || strings.Contains(lower, "credit balance") || strings.Contains(lower, "usage limit") || code == http.StatusPaymentRequired:
		e.Class = OutOfCredit
	case code == http.StatusTooManyRequests:
		e.Class = RateLimited
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Class = Unauthorized
	case code == http.StatusRequestEntityTooLarge || strings.Contains(lower, "context length") || strings.Contains(lower, "context_length") ||
		strings.Contains(lower, "context size") || strings.Contains(lower, "context_size") || strings.Contains(lower, "too long"):
		e.Class = TooLong
	case code == http.StatusRequestTimeout || code == http.StatusConflict || code >= 500:
	case code >= 300 && code < 400:
		e.Class, e.Err = Malformed, errors.New("it redirects, and keys are not sent elsewhere")
	default:
		e.Class = BadRequest
	}
	return e
}

// errorMessage is what a server says is wrong, in one harmless line.
func errorMessage(body []byte) string {
	var told struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	text := string(body)
	if json.Unmarshal(body, &told) == nil && told.Error.Message != "" {
		text = told.Error.Message
		if told.Error.Type != "" {
			text += " (" + told.Error.Type + ")"
		}
		if code, ok := told.Error.Code.(string); ok && code != told.Error.Type {
			text += " (" + code + ")"
		}
	}
	text = events.SanitizeLine(text, 300)
	if text == "" {
		text = "it said nothing"
	}
	return text
}

// maxRetryAfter bounds how long a server can make us wait.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads the header: seconds, or a date.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	var d time.Duration
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		d = time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return max(0, min(d, maxRetryAfter))
}
