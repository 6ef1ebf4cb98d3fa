// Package plugincontainer stands in for what runs a plugin in a container.
package plugincontainer

import (
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// Config says which container to run.
type Config struct {
	Image, Tag, SHA256    string
	Entrypoint, Args, Env []string
	Labels                map[string]string
	Runtime, CgroupParent string
	NanoCpus, Memory      int64
	GroupAdd              int
	Rootless, CapIPCLock  bool
}

// NewContainerRunner returns an error. Vault calls it to run a plugin that is registered with an oci_image.
func (*Config) NewContainerRunner(hclog.Logger, *exec.Cmd, string) (runner.Runner, error) {
	return nil, without.Error("a plugin in a container")
}
