// Package web tests the orchestrator's page in a real Chromium, driven over the DevTools protocol: logging in, each view with data from a real
// orchestrator and simulated routers, a phone's width, and that neither names nor labels of containers become markup.
//
// FREEFLOW_SCREENSHOTS=DIR writes pictures there; docs/screenshots is made so. Nothing compares them.
package web
