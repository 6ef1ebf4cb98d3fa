package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// facts returns what is needed to compare the figures with others.
func facts(ctx context.Context, vault string, args []string) [][2]string {
	facts := [][2]string{
		{"processor", processor() + ", " + strconv.Itoa(runtime.NumCPU()) + " cores, " + runtime.GOOS + "/" + runtime.GOARCH},
		{"load when it began", firstOf("/proc/loadavg", "unknown")},
		{"Go", runtime.Version()},
		{"Vault", version(ctx, vault)},
		{"tree", tree(ctx)},
		{"date", time.Now().UTC().Format(time.RFC3339)},
	}
	if len(args) > 0 {
		facts = append(facts, [2]string{"flags", strings.Join(args, " ")})
	}
	return facts
}

func processor() string {
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo") // Linux only
	for line := range strings.Lines(string(cpuinfo)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// firstOf returns the first word of a file. In /proc/loadavg that is the load of the last minute.
func firstOf(file, otherwise string) string {
	b, _ := os.ReadFile(file)
	if words := strings.Fields(string(b)); len(words) > 0 {
		return words[0]
	}
	return otherwise
}

func version(ctx context.Context, vault string) string {
	if vault == "" {
		return "none"
	}
	return said(ctx, vault, "version")
}

func tree(ctx context.Context) string {
	return said(ctx, "git", "describe", "--always", "--dirty")
}

func said(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
