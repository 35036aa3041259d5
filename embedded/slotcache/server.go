package slotcache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"cortex/events"
)

// maxAnswerBytes limits an answer of the server. The largest is the tokens of a long prompt.
const maxAnswerBytes = 64 << 20

// LlamaServer is a client of a running llama-server. It is safe for concurrent use.
type LlamaServer struct {
	URL    string       // for example http://127.0.0.1:8080
	APIKey string       // "" without a key
	HTTP   *http.Client // nil means http.DefaultClient
}

// serverProps is the answer of /props.
type serverProps struct {
	ModelPath string `json:"model_path"`
	Build     string `json:"build_info"`
	Slots     int    `json:"total_slots"`
	Default   struct {
		ContextTokens int64 `json:"n_ctx"`
	} `json:"default_generation_settings"`
}

func (s LlamaServer) props(ctx context.Context) (p serverProps, err error) {
	err = s.call(ctx, http.MethodGet, "/props", nil, &p)
	return p, err
}

type slotResponse struct {
	Saved    int64 `json:"n_saved"`
	Restored int64 `json:"n_restored"`
}

// slot lets the server save, restore or erase the state of a slot. file is a name in the
// server's --slot-save-path.
func (s LlamaServer) slot(ctx context.Context, id int, action, file string) (a slotResponse, err error) {
	err = s.call(ctx, http.MethodPost, fmt.Sprintf("/slots/%d?action=%s", id, action), map[string]any{"filename": file}, &a)
	return a, err
}

// tokenize returns the tokens of a prompt, the same as for a completion.
func (s LlamaServer) tokenize(ctx context.Context, prompt string) ([]Token, error) {
	var a struct {
		Tokens []Token `json:"tokens"`
	}
	err := s.call(ctx, http.MethodPost, "/tokenize", map[string]any{"content": prompt, "add_special": true, "parse_special": true}, &a)
	return a.Tokens, err
}

// prefill lets a slot process a prompt without generating tokens. It returns how many tokens
// the server processed.
func (s LlamaServer) prefill(ctx context.Context, slot int, tokens []Token) (processed int64, err error) {
	var a struct {
		Timings struct {
			Processed *int64 `json:"prompt_n"`
		} `json:"timings"`
	}
	err = s.call(ctx, http.MethodPost, "/completion", map[string]any{
		"prompt": tokens, "id_slot": slot, "n_predict": 0, "cache_prompt": true, "stream": false,
	}, &a)
	if err != nil {
		return 0, err
	}
	if a.Timings.Processed == nil {
		return 0, s.fail(events.ErrUnavailable, "it does not report how many tokens it processed", "")
	}
	return *a.Timings.Processed, nil
}

func (s LlamaServer) fail(kind events.ErrorKind, why, hint string) error {
	return &events.Error{Op: "slotcache.LlamaServer", Kind: kind, Subject: "llama-server at " + s.URL, Err: errors.New(why), Hint: hint}
}

func (s LlamaServer) call(ctx context.Context, method, path string, in, out any) error {
	base, err := url.Parse(s.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return s.fail(events.ErrUsage, "invalid address", "use an address such as http://127.0.0.1:8080")
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.URL, "/")+path, body)
	if err != nil {
		return s.fail(events.ErrUsage, err.Error(), "")
	}
	req.Header.Set("Content-Type", "application/json")
	if s.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+s.APIKey)
	}
	client := s.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.fail(events.ErrUnavailable, "it does not answer: "+causeText(err), "check that it is running")
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return s.fail(events.ErrUnavailable, "the connection ended during an answer", "")
	case res.StatusCode != http.StatusOK:
		return s.statusError(res.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return s.fail(events.ErrUnavailable, "its answer is not JSON", "check that it is a llama-server")
	}
	return nil
}

// causeText returns the cause without the address, which the subject names already.
func causeText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// statusError returns the error for a status other than 200.
func (s LlamaServer) statusError(status int, body []byte) error {
	var a struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	why := http.StatusText(status)
	if json.Unmarshal(body, &a) == nil && a.Error.Message != "" {
		why = events.Tail(strings.ToValidUTF8(a.Error.Message, "?"), 300)
	}
	why = fmt.Sprintf("status %d: %s", status, why)
	switch status {
	case http.StatusServiceUnavailable:
		return s.fail(events.ErrUnavailable, why, "it may still be loading its model; try again")
	case http.StatusUnauthorized, http.StatusForbidden:
		return s.fail(events.ErrConfirmation, why, "set LLAMA_API_KEY to the key of the server")
	case http.StatusNotFound, http.StatusNotImplemented:
		return s.fail(events.ErrConflict, why, "start it with --slot-save-path and --slots, and without --models-preset")
	}
	return s.fail(events.ErrConflict, why, "")
}
