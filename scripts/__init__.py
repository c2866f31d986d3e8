"""Programs beside the package: benchmarks, the report, the loop by hand."""
