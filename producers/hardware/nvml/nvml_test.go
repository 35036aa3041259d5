package nvml_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/producers/hardware"
	"cortex/producers/hardware/nvml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake builds a fake library with the C compiler. Without a compiler the test fails; with -short
// it is skipped.
func fake(t *testing.T, flags ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil && testing.Short() {
		t.Skip("no C compiler")
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), nvml.Library)
	args := append([]string{"-shared", "-fPIC", "-o", path, "testdata/fake.c"}, flags...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestQueryReadsEveryDevice(t *testing.T) {
	path := fake(t)
	for range 3 { // each query initialises the library again
		got, err := nvml.Query(path)
		if err != nil {
			t.Fatal(err)
		}
		want := hardware.NVIDIAReport{Driver: "550.54.15", CUDA: "12.4", Devices: []hardware.NVIDIADevice{
			{PCI: "0000:1b:00.0", Name: "NVIDIA H100 80GB HBM3", TotalB: 85520809984, UsedB: 1048576, Compute: "9.0", MIG: "enabled", Errors: map[string]string{}},
			{PCI: "000f:01:00.0", Name: "NVIDIA GB10", Compute: "12.1", MIG: "unsupported", Errors: map[string]string{
				"total_b": "nvmlDeviceGetMemoryInfo returned 3", "used_b": "nvmlDeviceGetMemoryInfo returned 3",
			}},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestQueryFailsIfInitialisationFails(t *testing.T) {
	path := fake(t)
	t.Setenv("FAKE_NVML_INIT", "9")
	// Without cgo, t.Setenv does not change the C environment that the library reads. So the query
	// runs in a new process that starts with the variable.
	if os.Getenv("NVML_CHILD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "NVML_CHILD="+path, "FAKE_NVML_INIT=9")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if _, err := nvml.Query(os.Getenv("NVML_CHILD")); err == nil || err.Error() != "nvmlInit_v2 returned 9" {
		t.Errorf("got %v", err)
	}
}

func TestQueryFailsIfAFunctionIsMissing(t *testing.T) {
	_, err := nvml.Query(fake(t, "-DnvmlDeviceGetMigMode=other"))
	if err == nil || !strings.Contains(err.Error(), "nvmlDeviceGetMigMode") {
		t.Errorf("got %v", err)
	}
}

func TestQueryFailsWithoutALibrary(t *testing.T) {
	if _, err := nvml.Query(filepath.Join(t.TempDir(), nvml.Library)); err == nil {
		t.Error("no error for a missing library")
	}
}
