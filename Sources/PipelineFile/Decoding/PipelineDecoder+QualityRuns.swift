extension PipelineDecoder {
    func quality(_ root: Section) -> Pipeline.Quality {
        var quality = Pipeline.Quality()
        guard let section = root.section("quality", keys: Keys.quality) else { return quality }
        let year = Duration.seconds(365 * 86_400)
        if let text = section.text("every") {
            quality.every =
                text.text == "never"
                ? nil : section.duration("every", in: .seconds(10)...year, example: "15m") ?? quality.every
        }
        quality.held_max =
            section.duration("held_max", in: .seconds(60)...year, example: "7d") ?? quality.held_max
        quality.deferred_max =
            section.integer("deferred_max", in: 1...1_000_000_000_000_000, example: quality.deferred_max)
            ?? quality.deferred_max
        return quality
    }
}
