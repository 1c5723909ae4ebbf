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

    /// <summary>No body: it is larger than <paramref name="maxBytes"/>. <c>Waited</c>: it was not there at once, so what was looked up before may have changed.</summary>
    /// <exception cref="BadHttpRequestException">It was not there within <paramref name="within"/> (408).</exception>
    public static async ValueTask<(BufferedBody? Body, bool Waited)> ReadAsync(HttpContext context, int maxBytes, TimeSpan within, TimeProvider clock)
    {
        var request = context.Request;
        if (request.ContentLength > maxBytes) return (null, false);
        if (context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == false) return (Empty, false);
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = maxBytes;

        // One byte more than expected, so that the end is seen without growing.
        var buffer = ArrayPool<byte>.Shared.Rent((int)(request.ContentLength + 1 ?? FirstRent));
        var length = 0;
        var waited = false;
        // The listener's least rate alone lets a body trickle for an hour, under a proof that was good when it began.
        using var deadline = new CancellationTokenSource(within, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, context.RequestAborted);
        try
        {
            while (true)
            {
                var reading = request.Body.ReadAsync(buffer.AsMemory(length), limited.Token);
                waited |= !reading.IsCompleted;
                var read = await reading;
                if (read == 0) return (new BufferedBody(buffer, length), waited);
                length += read;
                if (length > maxBytes)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    return (null, waited);
                }
                if (length < buffer.Length) continue;
                var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                buffer.AsSpan(0, length).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = larger;
            }
        }
        catch (Exception e)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (e is OperationCanceledException && !context.RequestAborted.IsCancellationRequested)
                throw new BadHttpRequestException("The body came too slowly.", StatusCodes.Status408RequestTimeout, e);
            throw;
        }
    }

    public void Dispose()
    {
        if (_rented.Length > 0) ArrayPool<byte>.Shared.Return(_rented);
    }
}
