package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// gpuNode is a device file of a gpu. Index -1 is a file that all gpus share.
type gpuNode struct {
	path         string
	index        int
	major, minor uint32
}

var gpuName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(nvidia|dri/card|dri/renderD|nvidiactl$|nvidia-uvm$|nvidia-uvm-tools$|kfd$)([0-9]*)$`)
})

// gpuNodes lists the device files of graphics processors in dev.
func gpuNodes(dev string) []gpuNode {
	var out []gpuNode
	for _, pattern := range []string{"nvidia*", "dri/*", "kfd"} {
		paths, _ := filepath.Glob(filepath.Join(dev, pattern)) // the pattern is well formed
		for _, path := range paths {
			name, err := filepath.Rel(dev, path)
			m := gpuName().FindStringSubmatch(name)
			var st unix.Stat_t
			if err != nil || m == nil || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
				continue
			}
			n := gpuNode{path: path, index: -1, major: unix.Major(st.Rdev), minor: unix.Minor(st.Rdev)}
			if i, err := strconv.Atoi(m[2]); err == nil {
				n.index = i
				if m[1] == "dri/renderD" {
					n.index -= 128
				}
			}
			out = append(out, n)
		}
	}
	return out
}

// splitDevices separates the allowed device files from the denied ones. Files that all gpus
// share are allowed where one gpu is.
func splitDevices(nodes []gpuNode, g events.GPUs) (allowed, denied []gpuNode) {
	indexes, some := g.Indexes()
	for _, n := range nodes {
		if !some || slices.Contains(indexes, n.index) || n.index < 0 && len(indexes) > 0 {
			allowed = append(allowed, n)
		} else {
			denied = append(denied, n)
		}
	}
	return allowed, denied
}

func (n gpuNode) String() string { return fmt.Sprintf("c %d:%d", n.major, n.minor) }

// GPUEnvironment is what the runtimes of graphics processors read. It is advice: a program
// may ignore it.
func GPUEnvironment(g events.GPUs) []string {
	if g == "" {
		return nil
	}
	list := string(g)
	if list == "none" {
		list = ""
	}
	var out []string
	for _, name := range []string{"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"} {
		out = append(out, name+"="+list)
	}
	return out
}

// adviseGPU notes that only the environment names the gpus.
func (e *effects) adviseGPU(l events.Limits, reason string) {
	if l.GPUs != "" {
		e.advisory(gpu, string(l.GPUs), "CUDA_VISIBLE_DEVICES and the like", reason)
	}
}

func (e *effects) adviseGPUMemory(l events.Limits, reason string) {
	if l.GPUMemoryBytes > 0 {
		e.advisory(gpuMemory, strconv.FormatInt(l.GPUMemoryBytes, 10), "", reason)
	}
}

// hasIOWeights reports whether a disk here uses weights, or why none does.
func hasIOWeights(root string) (ok bool, reason string) {
	files, _ := filepath.Glob(filepath.Join(root, "sys/block/*/queue/scheduler")) // well formed
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), "[bfq]") {
			return true, ""
		}
	}
	return false, "no disk here has the scheduler bfq, which weights need"
}
