package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cortex/consumers/machine/testbed"
)

// wrappers are the programs on the PATH of a script: cortex and inbed run inside the test
// bed of the script, code checks an exit code, and eventually runs a command again until its
// output matches.
var wrappers = map[string]string{
	"cortex": `#!/bin/sh
exec chroot "$BED" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC $BEDENV cortex "$@"
`,
	"inbed": `#!/bin/sh
exec chroot "$BED" /usr/bin/env -i PATH=/usr/games:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
`,
	"code": `#!/bin/sh
want=$1; shift
"$@"; got=$?
[ $got = $want ] || { echo "exit $got, want $want" >&2; exit 1; }
`,
	"eventually": `#!/bin/sh
want=$1; shift
for i in $(seq 600); do
	out=$("$@") && echo "$out" | grep -qE "$want" && break
	sleep 0.1
done
echo "$out"
echo "$out" | grep -qE "$want"
`,
}

// TestScripts runs testdata/script/*.txtar, one for each command, each in a separate test bed
// with real apt.
func TestScripts(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			bed := testbed.New(env.T().(testing.TB))
			bed.Copy(env.T().(testing.TB), path, "/usr/bin/cortex")
			bin := filepath.Join(env.WorkDir, "bin")
			if err := os.MkdirAll(bin, 0o755); err != nil {
				return err
			}
			for name, script := range wrappers {
				if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
					return err
				}
			}
			env.Setenv("PATH", bin+":/usr/sbin:/usr/bin:/sbin:/bin")
			env.Setenv("BED", bed.Root())
			env.Defer(func() { bed.Try("/usr/bin/cortex", "daemon", "stop") })
			return nil
		},
	})
}
