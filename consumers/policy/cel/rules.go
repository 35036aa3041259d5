// Package cel evaluates the owner's rules: expressions in CEL (the Common Expression
// Language) in the files DIR/*.yaml.
//
// It promises:
//
//   - An error in a file names its line.
//   - A file with an error denies every plan until it is fixed: other users can write
//     to it, it is not YAML, a key is unknown, or an expression is invalid or not
//     boolean.
//   - Evaluation is bounded. It sees only the plan, the request, the user and the time.
package cel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"cortex/consumers/policy"
	"cortex/events"
)

// Bounds of reading and evaluation.
const (
	maxFileBytes = 256 << 10
	maxFiles     = 100
	maxCost      = 1_000_000 // of one rule, in CEL's units
)

// RuleFile is the format of a rule file.
type RuleFile struct {
	Rules []RuleText `yaml:"rules"`
}

// RuleText is one rule of a rule file.
type RuleText struct {
	Name    string `yaml:"name"`
	Deny    string `yaml:"deny"`    // an expression; true denies the plan
	Message string `yaml:"message"` // for the user; "" is a message with the rule's name
}

type rule struct {
	policy.Rule
	message string
	program cel.Program
}

// Rules are the rules of a directory. They are read again when a file changes. Rules is
// safe for concurrent use.
type Rules struct {
	dir        string
	ownerUID   int // the owner that files must have; root, except in tests
	invariants policy.Invariants

	mu      sync.Mutex
	version string
	loaded  []rule
	loadErr error
}

// New returns the rules in a directory, which need not exist. Files must belong to uid,
// and no other user may have write permission.
func New(dir string, uid int, fixed policy.Invariants) *Rules {
	return &Rules{dir: dir, ownerUID: uid, invariants: fixed}
}

var _ policy.Evaluator = (*Rules)(nil)

// Evaluate implements [policy.Evaluator].
func (r *Rules) Evaluate(c policy.Input) (policy.Decision, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	if v := r.invariants.Evaluate(c); v != nil {
		return v, r.version
	}
	if r.loadErr != nil {
		return &events.Denial{Rule: "policy-files", Message: "the rules cannot be read: " + firstLine(r.loadErr)}, r.version
	}
	vars := variables(c)
	for _, x := range r.loaded {
		out, _, err := x.program.Eval(vars)
		if err != nil {
			return &events.Denial{Rule: x.Name, Message: fmt.Sprintf("the rule cannot be evaluated: %v (%s)", err, x.Source)}, r.version
		}
		if yes, ok := out.Value().(bool); !ok || yes {
			return &events.Denial{Rule: x.Name, Message: x.message}, r.version
		}
	}
	return nil, r.version
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// List returns the invariants and every rule in the order of evaluation, the version of
// the rules, and the errors of the files.
func (r *Rules) List() ([]policy.Rule, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	out := r.invariants.Rules()
	for _, x := range r.loaded {
		out = append(out, x.Rule)
	}
	return out, r.version, r.loadErr
}

// refresh reads the files again if they changed.
func (r *Rules) refresh() {
	texts, names, err := r.readFiles()
	h := sha256.New()
	for i, text := range texts {
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(names[i]), len(text), text)
	}
	if err != nil {
		fmt.Fprintf(h, "\n%v", err)
	}
	version := hex.EncodeToString(h.Sum(nil))[:16]
	if version == r.version {
		return
	}
	r.version, r.loaded, r.loadErr = version, nil, err
	if err != nil {
		return
	}
	env, err := newEnv()
	if err != nil {
		r.loadErr = err
		return
	}
	seen := map[string]string{}
	for _, x := range r.invariants.Rules() {
		seen[x.Name] = "built in"
	}
	var errs []error
	for i, text := range texts {
		list, err := parse(env, names[i], text, seen)
		r.loaded = append(r.loaded, list...)
		errs = append(errs, err)
	}
	if r.loadErr = errors.Join(errs...); r.loadErr != nil {
		r.loaded = nil
	}
}

// readFiles returns the contents and names of all files, sorted by name.
func (r *Rules) readFiles() (texts [][]byte, names []string, err error) {
	names, err = filepath.Glob(filepath.Join(r.dir, "*.yaml"))
	if err == nil && len(names) > maxFiles {
		err = fmt.Errorf("%s: more than %d files", r.dir, maxFiles)
	}
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, name := range names {
		text, err := r.readFile(name)
		texts, errs = append(texts, text), append(errs, err)
	}
	return texts, names, errors.Join(errs...)
}

func (r *Rules) readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", name)
	case ok && int(st.Uid) != r.ownerUID || info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s: it must belong to root and be writable by root only: chown root %s && chmod go-w %s", name, name, name)
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}

var ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// parse parses a file. seen holds the names of earlier rules.
func parse(env *cel.Env, name string, text []byte, seen map[string]string) ([]rule, error) {
	var doc struct {
		Rules []yaml.Node `yaml:"rules"`
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var out []rule
	var errs []error
	for _, node := range doc.Rules {
		place := fmt.Sprintf("%s:%d", name, node.Line)
		x, err := compile(env, node, place)
		if other, taken := seen[x.Name]; err == nil && taken {
			err = fmt.Errorf("the name %q is used already (%s)", x.Name, other)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", place, err))
			continue
		}
		seen[x.Name] = place
		out = append(out, x)
	}
	return out, errors.Join(errs...)
}

func compile(env *cel.Env, node yaml.Node, place string) (rule, error) {
	var w RuleText
	for i := 0; node.Kind == yaml.MappingNode && i < len(node.Content); i += 2 {
		switch key := node.Content[i].Value; key {
		case "name", "deny", "message":
		default:
			return rule{}, fmt.Errorf("unknown key %q: use name, deny or message", key)
		}
	}
	if err := node.Decode(&w); err != nil {
		return rule{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if !ruleName.MatchString(w.Name) {
		return rule{}, fmt.Errorf("invalid name %q: use lower-case letters, digits and hyphens", w.Name)
	}
	ast, issues := env.Compile(w.Deny)
	if issues != nil && issues.Err() != nil {
		return rule{}, fmt.Errorf("%s: %s", w.Name, events.SanitizeLine(issues.Err().Error(), 400))
	}
	if ast.OutputType() != cel.BoolType {
		return rule{}, fmt.Errorf("%s: the expression returns %s; it must return a bool", w.Name, ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return rule{}, fmt.Errorf("%s: %w", w.Name, err)
	}
	x := rule{Rule: policy.Rule{Name: w.Name, Deny: events.SanitizeLine(w.Deny, 1000), Source: place}, message: events.SanitizeLine(w.Message, 500), program: program}
	if x.message == "" {
		x.message = "the rule " + w.Name + " denies this plan"
	}
	return x, nil
}
