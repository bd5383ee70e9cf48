/// The JSON Schema (draft 7) of the pipeline file, for editors and CI. It knows the keys, words, forms and whole numbers
/// that the decoder takes; what hangs on the world or on several keys is told by `millrace check` alone.
package enum PipelineSchema {
    package static let text = String(decoding: PackageResources.millrace_schema_json, as: UTF8.self)
}
