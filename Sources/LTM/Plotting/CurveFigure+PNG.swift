import Glibc
import LTMSupport

extension CurveFigure {
  /// The figure as a PNG image of twice the SVG's width and height.
  ///
  /// - Returns: the bytes of the file.
  /// - Throws: `LTMError` where librsvg and cairo, which draw it, are not installed.
  public func png() throws(LTMError) -> [UInt8] {
    do throws(SystemLibrary.Refusal) {
      return try SVGRenderer().png(of: svg, scale: 2)
    } catch {
      throw LTMError(
        "a .png cannot be drawn: \(error.reason)",
        notes: [
          "librsvg draws it, which 'apt-get install librsvg2-2 fonts-dejavu-core' installs; .svg and .html need nothing"
        ])
    }
  }
}

/// Draws SVG by librsvg and cairo, which are opened when they are needed.
private struct SVGRenderer {
  private typealias Pointer = UnsafeMutableRawPointer
  private typealias Parse = @convention(c) (UnsafePointer<UInt8>?, Int, Pointer?) -> Pointer?
  private typealias Render = @convention(c) (Pointer?, Pointer?, UnsafePointer<Double>?, Pointer?) -> Int32
  private typealias MakeSurface = @convention(c) (Int32, Int32, Int32) -> Pointer?
  private typealias Make = @convention(c) (Pointer?) -> Pointer?
  private typealias Release = @convention(c) (Pointer?) -> Void
  private typealias Sink = @convention(c) (Pointer?, UnsafePointer<UInt8>?, UInt32) -> Int32
  private typealias Write = @convention(c) (Pointer?, Sink, Pointer?) -> Int32

  private let rsvg: UnsafeMutableRawPointer
  private let cairo: UnsafeMutableRawPointer
  private let object: UnsafeMutableRawPointer

  init() throws(SystemLibrary.Refusal) {
    rsvg = try SystemLibrary.open("librsvg-2.so.2")
    cairo = try SystemLibrary.open("libcairo.so.2")
    object = try SystemLibrary.open("libgobject-2.0.so.0")
  }

  private func find<F>(_ name: String, in library: UnsafeMutableRawPointer, as type: F.Type) throws(SystemLibrary
    .Refusal) -> F
  {
    guard let address = dlsym(library, name) else { throw SystemLibrary.Refusal(reason: "the library has no \(name)") }
    return unsafeBitCast(address, to: type)
  }

  func png(of svg: String, scale: Double) throws(SystemLibrary.Refusal) -> [UInt8] {
    let parse = try find("rsvg_handle_new_from_data", in: rsvg, as: Parse.self)
    let unref = try find("g_object_unref", in: object, as: Release.self)
    let text = Array(svg.utf8)
    guard let handle = parse(text, text.count, nil) else {
      throw SystemLibrary.Refusal(reason: "librsvg does not read the figure")
    }
    defer { unref(handle) }
    let size = svg.firstMatch(of: /width="([0-9.]+)" height="([0-9.]+)"/)
    let width = (Double(size?.1 ?? "") ?? 0) * scale
    let height = (Double(size?.2 ?? "") ?? 0) * scale
    return try drawn(handle, width, height)
  }

  private func drawn(
    _ handle: UnsafeMutableRawPointer, _ width: Double, _ height: Double
  ) throws(SystemLibrary.Refusal) -> [UInt8] {
    let makeSurface = try find("cairo_image_surface_create", in: cairo, as: MakeSurface.self)
    let makeContext = try find("cairo_create", in: cairo, as: Make.self)
    let release = try find("cairo_destroy", in: cairo, as: Release.self)
    let releaseSurface = try find("cairo_surface_destroy", in: cairo, as: Release.self)
    let render = try find("rsvg_handle_render_document", in: rsvg, as: Render.self)
    let write = try find("cairo_surface_write_to_png_stream", in: cairo, as: Write.self)
    let surface = makeSurface(0, Int32(width), Int32(height))
    defer { releaseSurface(surface) }
    let context = makeContext(surface)
    defer { release(context) }
    var bytes: [UInt8] = []
    let isDrawn = render(handle, context, [0, 0, width, height], nil) != 0
    let status = withUnsafeMutablePointer(to: &bytes) { bytes in
      write(
        surface,
        { closure, data, count in
          closure?.assumingMemoryBound(to: [UInt8].self).pointee.append(
            contentsOf: UnsafeBufferPointer(start: data, count: Int(count)))
          return 0
        }, bytes)
    }
    guard isDrawn, status == 0 else { throw SystemLibrary.Refusal(reason: "cairo fails with status \(status)") }
    return bytes
  }
}
