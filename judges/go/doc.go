// Package judges has only tests: they use third-party login libraries, according to the libraries' own documentation, against the
// simulator in the package authpipetest. See ../README.md. It is a module of its own, so that these libraries do not become
// requirements of the plugin.
package judges
