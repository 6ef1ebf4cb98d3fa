package main_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
)

// A release contains only what is committed, so each of these tests works in a checkout of its own, with the working tree's files
// committed.

func TestReleasesAreReproducible(t *testing.T) {
	longtest.Only(t, "test-release")
	var sums []string
	for _, dir := range []string{"one", "another/and/deeper"} {
		tree := filepath.Join(t.TempDir(), dir)
		if err := checkout(tree); err != nil {
			t.Fatal(err)
		}
		release, err := makeRelease(tree, "v0.1.0")
		if err != nil {
			t.Fatal(err)
		}
		listed, err := os.ReadFile(filepath.Join(release, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(release)
		if err != nil {
			t.Fatal(err)
		}
		// The plugin, its SBOM and register.sh, and the sums themselves. Without a key there is no signature.
		if got, want := bytes.Count(listed, []byte("\n")), len(files)-1; got != want || want != 3 {
			t.Errorf("SHA256SUMS names %d of %d files, want 3 of 3:\n%s", got, want, listed)
		}
		sums = append(sums, string(listed))
		if runtime.GOOS == "linux" {
			checkStatic(t, filepath.Join(release, "vault-plugin-secrets-authpipe_v0.1.0_linux_"+runtime.GOARCH))
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("the same commit released from two directories differs:\n%s\n%s", sums[0], sums[1])
	}
}

func TestRegisterRefusesOtherFiles(t *testing.T) {
	longtest.Only(t, "test-release")
	tree, keys := t.TempDir(), t.TempDir()
	if err := checkout(tree); err != nil {
		t.Fatal(err)
	}
	ours, theirs := releaseKey(t, filepath.Join(keys, "ours")), releaseKey(t, filepath.Join(keys, "theirs"))
	t.Setenv("RELEASE_KEY", ours)
	if _, err := makeRelease(tree, "v0.1.0"); err == nil || !strings.Contains(err.Error(), "RELEASE_KEY is not in scripts/release-signers") {
		t.Fatalf("signed by a key that is not listed: %v", err)
	}
	signers := filepath.Join(tree, "scripts", "release-signers")
	listSigner(t, signers, ours)
	if err := commit(tree); err != nil {
		t.Fatal(err)
	}
	release, err := makeRelease(tree, "v0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("vault-plugin-secrets-authpipe_v0.1.0_%s_%s", runtime.GOOS, runtime.GOARCH)
	others := filepath.Join(keys, "signers")
	listSigner(t, others, theirs)

	for _, tt := range []struct {
		name    string
		change  func(t *testing.T, release string)
		signers string // relative to the release's directory, or absolute
		says    string
		copied  int
	}{
		{"the signed release", nil, signers, "copied", 1},
		{"the release without keys", nil, "", "set AUTHPIPE_SIGNERS", 0},
		{"the release without verification", nil, "none", "the signature is not verified", 1},
		{"missing keys", nil, filepath.Join(keys, "missing"), "no such file", 0},
		{"other keys", nil, others, "is not by a key in", 0},
		{"keys from the release's own directory", func(t *testing.T, release string) {
			listSigner(t, filepath.Join(release, "signers"), ours)
		}, "signers", "in the release's own directory", 0},
		{"no signature", func(t *testing.T, release string) {
			if err := os.Remove(filepath.Join(release, "SHA256SUMS.sig")); err != nil {
				t.Fatal(err)
			}
		}, signers, "SHA256SUMS.sig is missing", 0},
		{"another program", func(t *testing.T, release string) {
			writeFile(t, filepath.Join(release, name), "another program")
		}, signers, "is not the one in SHA256SUMS", 0},
		{"another program and its sum", func(t *testing.T, release string) {
			writeFile(t, filepath.Join(release, name), "another program")
			writeFile(t, filepath.Join(release, "SHA256SUMS"), fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte("another program")), name))
		}, signers, "is not by a key in", 0},
		{"another program and its sum, signed with another key", func(t *testing.T, release string) {
			writeFile(t, filepath.Join(release, name), "another program")
			writeFile(t, filepath.Join(release, "SHA256SUMS"), fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte("another program")), name))
			if err := os.Remove(filepath.Join(release, "SHA256SUMS.sig")); err != nil {
				t.Fatal(err)
			}
			sshKeygen(t, "-q", "-Y", "sign", "-f", theirs, "-n", "authpipe-release", filepath.Join(release, "SHA256SUMS"))
		}, signers, "is not by a key in", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, plugins := t.TempDir(), t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(release)); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(t, dir)
			}
			cmd := exec.Command(filepath.Join(dir, "register.sh"), plugins)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "VAULT_ADDR=", "AUTHPIPE_SIGNERS="+tt.signers) // copies the file, and registers nothing
			out, err := cmd.CombinedOutput()
			there, readErr := os.ReadDir(plugins)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if len(there) != tt.copied || !strings.Contains(string(out), tt.says) || (err == nil) != (tt.copied > 0) {
				t.Errorf("%d files are copied, %v: %s\nwant %d and %q", len(there), err, out, tt.copied, tt.says)
			}
		})
	}
}

// releaseKey makes a key for signing releases, and returns its file.
func releaseKey(t *testing.T, file string) string {
	t.Helper()
	sshKeygen(t, "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", file)
	return file
}

// listSigner writes a file of signers with one key.
func listSigner(t *testing.T, file, key string) {
	t.Helper()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, `release namespaces="authpipe-release" `+string(public))
}

func sshKeygen(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %s: %v: %s", args, err, out)
	}
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestBuiltProgramIsStatic checks that the program needs no shared library, so that it runs on Alpine, whose C library is musl, and in
// images without one. TestReleasesAreReproducible checks the released program.
func TestBuiltProgramIsStatic(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds the plugin, for Linux")
	}
	program := filepath.Join(t.TempDir(), "plugin")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v: %s", err, out)
	}
	checkStatic(t, program)
}

// checkStatic fails the test if the program needs a loader or a library.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", filepath.Base(program))
		}
	}
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("%s needs the libraries %v, %v", filepath.Base(program), libraries, err)
	}
}

func TestReleaseRefusesUncommittedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a checkout: left out with -short")
	}
	tree := t.TempDir()
	if err := checkout(tree); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, version, file string
		why                 string
	}{
		{"a version that Vault would refuse", "0.1", "", "it is a v and a semantic version"},
		{"no version and no tag", "", "", "HEAD has no tag"},
		{"a file that is not committed", "v0.1.0", "backend/stray.go", "the tree is not what is committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.file != "" {
				if err := os.WriteFile(filepath.Join(tree, tt.file), []byte("package backend\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := makeRelease(tree, tt.version)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want an error with %q", err, tt.why)
			}
			if _, err := os.Stat(filepath.Join(tree, "dist")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("dist/ exists: %v", err)
			}
		})
	}
}

// checkout commits the working tree's files, as they are, to a repository at dir.
func checkout(dir string) error {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing the working tree: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(root, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // a deleted file is listed until the deletion is committed
		}
	}
	return commit(dir)
}

// commit commits all files of a directory to its repository, which it creates if there is none.
func commit(dir string) error {
	script := `git init -q && git add -A && git -c user.name=tester -c user.email=tester@example.com -c commit.gpgsign=false commit -q -m all`
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("committing to %s: %w: %s", dir, err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}

// makeRelease makes a release for this machine's platform, in a checkout, and returns its directory.
func makeRelease(tree, version string) (dir string, err error) {
	args := []string{}
	if version != "" {
		args = append(args, version, runtime.GOOS+"/"+runtime.GOARCH)
	}
	cmd := exec.Command(filepath.Join(tree, "scripts", "release.sh"), args...)
	cmd.Env = append(os.Environ(), "RELEASE_UNCHECKED=1") // the checks would run this test
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("making release %s: %w: %s", version, err, said.String())
	}
	return filepath.Join(tree, strings.TrimSpace(string(out))), nil
}

// releases are made once and shared by all scripts.
type releases struct {
	mu   sync.Mutex
	tree string
	made map[string]string // directory by version
}

func (r *releases) of(version string) (dir string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if dir, ok := r.made[version]; ok {
		return dir, nil
	}
	if r.made == nil {
		if err := checkout(r.tree); err != nil {
			return "", err
		}
		r.made = map[string]string{}
	}
	r.made[version], err = makeRelease(r.tree, version)
	return r.made[version], err
}

// register is the command register: see commands.
func register(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: register VERSION")
	}
	w := environmentOf(ts)
	dir, err := w.releases.of(args[0])
	ts.Check(err)
	cmd := exec.Command(filepath.Join(dir, "register.sh"), filepath.Dir(w.server.plugin))
	for _, name := range []string{"PATH", "HOME", "VAULT_ADDR", "VAULT_TOKEN"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "AUTHPIPE_SIGNERS=none")
	if w.server.bao { // a user of OpenBao may have no vault command
		bin := ts.MkAbs(".bao")
		ts.Check(os.MkdirAll(bin, 0o755))
		if err := os.Symlink(w.vault, filepath.Join(bin, "bao")); !errors.Is(err, fs.ErrExist) {
			ts.Check(err)
		}
		cmd.Env = append(cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return output{stdout.String(), stderr.String()}, err
}
