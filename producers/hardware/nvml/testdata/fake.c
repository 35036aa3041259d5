/* A fake of NVIDIA's management library with two devices. The second one does not report its
   memory. nvmlInit_v2 returns the code in FAKE_NVML_INIT, if set. */
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, sub; char bus_id[32]; } pci;

static int up;
int nvmlInit_v2(void) { char *e = getenv("FAKE_NVML_INIT"); if (e) return atoi(e); up++; return 0; }
int nvmlShutdown(void) { up--; return 0; }
int nvmlSystemGetDriverVersion(char *b, unsigned n) { strncpy(b, "550.54.15", n); return up == 1 ? 0 : 1; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetName(void *d, char *b, unsigned n) { strncpy(b, d == (void *)1 ? "NVIDIA H100 80GB HBM3" : "NVIDIA GB10", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *d, memory *m) {
	if (d != (void *)1) return 3;
	m->total = 85520809984ULL; m->used = 1048576; m->free = m->total - m->used;
	return 0;
}
int nvmlDeviceGetCudaComputeCapability(void *d, int *a, int *b) { *a = d == (void *)1 ? 9 : 12; *b = d == (void *)1 ? 0 : 1; return 0; }
int nvmlDeviceGetPciInfo_v3(void *d, pci *p) {
	memset(p, 0, sizeof *p);
	p->domain = d == (void *)1 ? 0 : 0xf; p->bus = d == (void *)1 ? 0x1b : 1; p->device = 0;
	return 0;
}
int nvmlDeviceGetMigMode(void *d, unsigned *c, unsigned *p) { if (d != (void *)1) return 3; *c = 1; *p = 1; return 0; }
