/// What the pipeline file wants done with schema changes (`schema_changes`).
package struct SchemaPolicy: Sendable, Equatable {
    package enum Additive: String, Sendable, CaseIterable { case apply, plan, stop }
    package enum Breaking: String, Sendable, CaseIterable { case plan, stop, ignore }

    package var additive = Additive.apply
    package var breaking = Breaking.plan
    /// How long what the source no longer has is shown, at least.
    package var deprecateAfter_us: Int64 = 30 * 86_400_000_000

    package init() {}
}
