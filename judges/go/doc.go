// Package judges has tests only: login libraries that others wrote, as their own documentation says to use them, against the
// simulator in the package authpipetest. See ../README.md. It is a module of its own, so that these libraries do not become
// requirements of the plugin.
package judges
