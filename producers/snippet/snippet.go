// Package snippet reads shell text – of a web page, an answer, a colleague – as the
// typed actions that it stands for.
//
// It promises: nothing is run or expanded, and nothing is left out: a text of which
// one word has no exact counterpart here is refused as a whole, with the place. What
// comes out is intents with validated names, no text of the snippet. It knows apt,
// apt-get, aptitude, apt-mark, dpkg and cortex, optionally behind a bare sudo, joined
// by &&, ; or line breaks.
package snippet

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"cortex/events"
	"cortex/producers/intent"
)

// Bounds of a snippet.
const (
	MaxBytes    = 64 << 10
	maxCommands = 50
)

// Translation is what a snippet stands for.
type Translation struct {
	Intents []events.Intent `json:"intents"`
	Notes   []string        `json:"notes,omitempty"` // what needs no action of its own, and why
}

// Translate reads a snippet. It fails with ErrDenied, and the line and column of the
// first thing that has no counterpart.
func Translate(text string) (Translation, error) {
	if len(text) > MaxBytes {
		return Translation{}, refusal(syntax.Pos{}, "more than %d bytes", MaxBytes)
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		if p, ok := errors.AsType[syntax.ParseError](err); ok {
			return Translation{}, refusal(p.Pos, "it is not shell text: %s", events.SanitizeLine(p.Text, 200))
		}
		return Translation{}, refusal(syntax.Pos{}, "it is not shell text")
	}
	var t Translation
	for _, s := range file.Stmts {
		if err := t.translateStatement(s); err != nil {
			return Translation{}, err
		}
	}
	if len(t.Intents) == 0 && len(t.Notes) == 0 {
		return Translation{}, refusal(syntax.Pos{}, "there is no command in it")
	}
	return t, nil
}

func refusal(at syntax.Pos, format string, args ...any) error {
	e := &events.Error{
		Op: "snippet.Translate", Kind: events.ErrDenied, Subject: "the text", Err: fmt.Errorf(format, args...),
		Hint: "nothing was run; what cannot be translated exactly is refused as a whole",
	}
	if at.IsValid() {
		e.Subject = fmt.Sprintf("line %d, column %d", at.Line(), at.Col())
	}
	return e
}

// translateStatement reads commands joined by &&.
func (t *Translation) translateStatement(s *syntax.Stmt) error {
	switch {
	case len(s.Redirs) > 0:
		return refusal(s.Redirs[0].Pos(), "it redirects input or output")
	case s.Background || s.Coprocess || s.Disown:
		return refusal(s.Pos(), "it runs in the background")
	case s.Negated:
		return refusal(s.Pos(), "it negates a result")
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return t.translateCall(c)
	case *syntax.BinaryCmd:
		if c.Op != syntax.AndStmt {
			return refusal(c.OpPos, "commands are joined by %s", c.Op)
		}
		if err := t.translateStatement(c.X); err != nil {
			return err
		}
		return t.translateStatement(c.Y)
	}
	return refusal(s.Pos(), "it is more than a plain command")
}

// word is a word as it stands, without any expansion.
type word struct {
	text string
	pos  syntax.Pos
}

// translateCall reads one command.
func (t *Translation) translateCall(c *syntax.CallExpr) error {
	for _, a := range c.Assigns {
		if a.Name == nil || a.Name.Value != "DEBIAN_FRONTEND" || a.Append || a.Naked || a.Index != nil || a.Array != nil || a.Value == nil || literalText(a.Value) != "noninteractive" {
			return refusal(a.Pos(), "it sets a variable")
		}
	}
	args := c.Args
	if len(args) > 1 && literalText(args[0]) == "sudo" {
		args = args[1:]
	}
	if len(args) == 0 || literalText(args[0]) == "sudo" {
		return refusal(c.Pos(), "there is no command")
	}
	read, known := t.parsers()[literalText(args[0])]
	if !known {
		return refusal(args[0].Pos(), "%q is no command that can be translated", events.SanitizeLine(literalText(args[0]), 60))
	}
	if len(t.Intents) >= maxCommands {
		return refusal(c.Pos(), "more than %d commands", maxCommands)
	}
	var words []word
	for _, w := range args {
		text, ok := plainWord(w)
		if !ok {
			return refusal(w.Pos(), "a word is not plain: it would be expanded, or holds what no package name has")
		}
		words = append(words, word{text, w.Pos()})
	}
	return read(words)
}

// parsers are the ones whose command lines can be read.
func (t *Translation) parsers() map[string]func([]word) error {
	return map[string]func([]word) error{"apt": t.parseApt, "apt-get": t.parseApt, "aptitude": t.parseApt, "apt-mark": t.parseAptMark, "dpkg": t.parseDpkg, "cortex": t.parseCortex}
}

// plainWord gives a word without quotes, when it is one literal text of what names,
// versions and options are made of.
func plainWord(w *syntax.Word) (string, bool) {
	s := literalText(w)
	ok := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-:=_~") == "" && !strings.HasPrefix(s, "~")
	return s, ok
}

// literalText gives a word of one literal or quoted part without escapes, or "".
func literalText(w *syntax.Word) string {
	if len(w.Parts) != 1 {
		return ""
	}
	switch p := w.Parts[0].(type) {
	case *syntax.Lit:
		return p.Value
	case *syntax.SglQuoted:
		if !p.Dollar {
			return p.Value
		}
	case *syntax.DblQuoted:
		if lit, ok := singlePart(p.Parts).(*syntax.Lit); ok && !p.Dollar {
			return lit.Value
		}
	}
	return ""
}

func singlePart(parts []syntax.WordPart) syntax.WordPart {
	if len(parts) != 1 {
		return nil
	}
	return parts[0]
}

// addIntent puts an intent on the list, once it is valid.
func (t *Translation) addIntent(at syntax.Pos, in events.Intent) error {
	if err := in.Validate(); err != nil {
		return refusal(at, "%w", err)
	}
	t.Intents = append(t.Intents, in)
	return nil
}

// parsePackages reads the rest of a command as packages.
func parsePackages(at syntax.Pos, words []word) ([]events.PackageRef, error) {
	var list []string
	for _, w := range words {
		list = append(list, w.text)
	}
	refs, err := intent.ParsePackages(list)
	if err != nil {
		return nil, refusal(at, "%w", err)
	}
	return refs, nil
}
