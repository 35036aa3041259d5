package apt

import (
	"context"
	"slices"
	"strings"

	"cortex/events"
	"cortex/internal/debian"
)

// Dependency is one link of a chain: From needs To.
type Dependency struct {
	From     events.PackageName `json:"from"`
	To       events.PackageName `json:"to"`
	Relation string             `json:"relation"` // depends, recommends
}

// DependencyChain returns the shortest chain of dependencies between installed packages,
// from one of the packages in from to the package to; nil if there is none.
func (m *Machine) DependencyChain(ctx context.Context, from []events.PackageName, to events.PackageName) ([]Dependency, error) {
	out, err := m.runReadOnly(ctx, queryCommand(`${Package}\t${db:Status-Status}\t${Provides}\t${Pre-Depends}, ${Depends}\t${Recommends}\n`))
	if err != nil {
		return nil, err
	}
	needs := parseDependencies(string(out))
	came := map[events.PackageName]Dependency{}
	seen := map[events.PackageName]bool{}
	queue := slices.Clone(from)
	for _, f := range from {
		seen[f] = true
	}
	for len(queue) > 0 && !seen[to] {
		at := queue[0]
		queue = queue[1:]
		for _, n := range needs[at] {
			if !seen[n.To] {
				seen[n.To], came[n.To] = true, n
				queue = append(queue, n.To)
			}
		}
	}
	var chain []Dependency
	for at := to; ; {
		n, ok := came[at]
		if !ok {
			break
		}
		chain = append(chain, n)
		at = n.From
	}
	slices.Reverse(chain)
	return chain, nil
}

// parseDependencies parses the dependencies of every installed package. Virtual names
// are resolved to the installed packages that provide them. Depends come before
// recommends.
func parseDependencies(out string) map[events.PackageName][]Dependency {
	type row struct {
		name                          events.PackageName
		provides, depends, recommends string
	}
	var rows []row
	providers := map[string][]events.PackageName{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 || f[1] != string(events.StatusInstalled) {
			continue
		}
		r := row{events.PackageName(f[0]), f[2], f[3], f[4]}
		rows = append(rows, r)
		for _, name := range append(debian.RelationNames(r.provides), f[0]) {
			providers[name] = append(providers[name], r.name)
		}
	}
	needs := map[events.PackageName][]Dependency{}
	for _, r := range rows {
		for _, part := range []struct{ word, list string }{{"depends", r.depends}, {"recommends", r.recommends}} {
			for _, name := range debian.RelationNames(part.list) {
				for _, p := range providers[name] {
					if p != r.name {
						needs[r.name] = append(needs[r.name], Dependency{r.name, p, part.word})
					}
				}
			}
		}
	}
	return needs
}
