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

// Config is the address of a provider and how to call it.
type Config struct {
	Name        string
	URL         string // the address before the protocol's own path
	Model       string
	Key         func() (string, error) // called before every request; nil or "" for none
	IdleTimeout time.Duration          // 0 is DefaultIdleTimeout
	Now         func() time.Time       // nil is time.Now
}

// ValidateURL reports an error if a provider cannot have this URL.
func ValidateURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return fmt.Errorf("invalid address %q: use an http or https address without a user name", s)
	}
	return nil
}

func (c Config) validate() error {
	if err := ValidateURL(c.URL); err != nil {
		return &events.Error{Op: "llm.NewClient", Kind: events.ErrUsage, Subject: c.Name, Err: err}
	}
	if c.Model == "" {
		return &events.Error{Op: "llm.NewClient", Kind: events.ErrUsage, Subject: c.Name, Err: errors.New("the name of a model is missing")}
	}
	return nil
}

// HTTPClient makes the HTTP calls of a provider: what all protocols share.
type HTTPClient struct {
	cfg       Config
	client    *http.Client
	authorize func(h http.Header, key string)
}

// NewClient returns a client. authorize sets the protocol's headers; key is "" when
// there is none.
func NewClient(c Config, authorize func(h http.Header, key string)) (*HTTPClient, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = DefaultIdleTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.URL = strings.TrimRight(c.URL, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	return &HTTPClient{cfg: c, authorize: authorize, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes idle connections.
func (c *HTTPClient) Close() { c.client.CloseIdleConnections() }

// Name implements [Provider].
func (c *HTTPClient) Name() string { return c.cfg.Name }

// Model implements [Provider].
func (c *HTTPClient) Model() string { return c.cfg.Model }

func (c *HTTPClient) newError(class ErrorClass, err error) *CallError {
	return &CallError{Provider: c.cfg.Name, Class: class, Err: err}
}

// withIdleTimeout returns a context that is cancelled when received was not called
// for as long as the idle timeout.
func (c *HTTPClient) withIdleTimeout(ctx context.Context) (watched context.Context, received, end func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.cfg.IdleTimeout, func() { cancel(errIdleTimeout) })
	return watched, func() { timer.Reset(c.cfg.IdleTimeout) }, func() {
		timer.Stop()
		cancel(nil)
	}
}

var errIdleTimeout = errors.New("the server sent nothing for too long")

// classifyTransport returns the error of a connection that failed.
func (c *HTTPClient) classifyTransport(ctx context.Context, err error) *CallError {
	switch {
	case errors.Is(context.Cause(ctx), errIdleTimeout):
		return c.newError(TimedOut, errIdleTimeout)
	case ctx.Err() != nil:
		return c.newError(Cancelled, ctx.Err())
	}
	var u *url.Error
	if errors.As(err, &u) { // without the address, which is known and long
		err = u.Err
	}
	return c.newError(Unavailable, err)
}

// Get sends a request without a body, and discards the response. The error is a
// [CallError].
func (c *HTTPClient) Get(ctx context.Context, path string) error {
	ctx, _, end := c.withIdleTimeout(ctx)
	defer end()
	resp, failed := c.send(ctx, http.MethodGet, path, nil)
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBodyBytes)); err != nil {
		return c.classifyTransport(ctx, err)
	}
	return nil
}

// send sends a request; body may be nil. The status of the response is 200.
func (c *HTTPClient) send(ctx context.Context, method, path string, body any) (*http.Response, *CallError) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, c.newError(BadRequest, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.URL+path, payload)
	if err != nil {
		return nil, c.newError(BadRequest, err)
	}
	key := ""
	if c.cfg.Key != nil {
		if key, err = c.cfg.Key(); err != nil {
			return nil, c.newError(Unauthorized, err)
		}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "cortex")
	c.authorize(req.Header, key)
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

// classifyResponse returns the error of a response whose status is not 200.
func (c *HTTPClient) classifyResponse(resp *http.Response) *CallError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	message := errorMessage(body)
	e := c.newError(Unavailable, errors.New(message))
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
	mentions := func(phrases ...string) bool {
		for _, p := range phrases {
			if strings.Contains(strings.ToLower(message), p) {
				return true
			}
		}
		return false
	}
	switch code := resp.StatusCode; {
	case code == http.StatusPaymentRequired || mentions("insufficient_quota", "credit balance", "usage limit"):
		e.Class = OutOfCredit
	case code == http.StatusTooManyRequests:
		e.Class = RateLimited
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Class = Unauthorized
	case code == http.StatusRequestEntityTooLarge || mentions("context length", "context_length", "context size", "context_size", "too long"):
		e.Class = TooLong
	case code == http.StatusRequestTimeout || code == http.StatusConflict || code >= 500:
	case code >= 300 && code < 400:
		e.Class, e.Err = Malformed, errors.New("the server redirects; keys are not sent to another address")
	default:
		e.Class = BadRequest
	}
	return e
}

// errorMessage returns a server's error message as one sanitized line.
func errorMessage(body []byte) string {
	var parsed struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	text := string(body)
	if json.Unmarshal(body, &parsed) == nil && parsed.Error.Message != "" {
		text = parsed.Error.Message
		if parsed.Error.Type != "" {
			text += " (" + parsed.Error.Type + ")"
		}
		if code, ok := parsed.Error.Code.(string); ok && code != parsed.Error.Type {
			text += " (" + code + ")"
		}
	}
	text = events.SanitizeLine(text, 300)
	if text == "" {
		text = "no message"
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
