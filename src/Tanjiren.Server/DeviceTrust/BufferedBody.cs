using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>A request body, read whole because its digest decides whether anybody may look at it. Rented memory, bounded by the route's limit.</summary>
internal sealed class BufferedBody : IDisposable
{
    private const int FirstRent = 4096;

    public static readonly BufferedBody Empty = new([], 0);

    private readonly byte[] _rented;
    private readonly int _length;

    private BufferedBody(byte[] rented, int length) => (_rented, _length) = (rented, length);

    public ReadOnlySpan<byte> Bytes => _rented.AsSpan(0, _length);

    public Stream AsStream() => new MemoryStream(_rented, 0, _length, writable: false);

    /// <summary>Null when the body is larger than <paramref name="maxBytes"/>.</summary>
    public static async ValueTask<BufferedBody?> ReadAsync(HttpContext context, int maxBytes)
    {
        var request = context.Request;
        if (request.ContentLength > maxBytes) return null;
        if (context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == false) return Empty;
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = maxBytes;

        // One byte more than expected, so that the end is seen without growing.
        var buffer = ArrayPool<byte>.Shared.Rent((int)(request.ContentLength + 1 ?? FirstRent));
        var length = 0;
        try
        {
            while (true)
            {
                var read = await request.Body.ReadAsync(buffer.AsMemory(length), context.RequestAborted);
                if (read == 0) return new BufferedBody(buffer, length);
                length += read;
                if (length > maxBytes)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    return null;
                }
                if (length < buffer.Length) continue;
                var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                buffer.AsSpan(0, length).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = larger;
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    public void Dispose()
    {
        if (_rented.Length > 0) ArrayPool<byte>.Shared.Return(_rented);
    }
}
