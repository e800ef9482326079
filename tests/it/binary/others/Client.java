// A client with Netty's own length-field codec: Client PORT,be|le,OFFSET,SIZE,ADJUST,STRIP ...
//
// Sends frames of many sizes to each server, all in one write, and decodes the replies with
// LengthFieldBasedFrameDecoder. LengthFieldPrepender encodes the frames that it supports; the other
// headers are encoded here. Prints one line for each server, or the error.

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.LengthFieldBasedFrameDecoder;
import io.netty.handler.codec.LengthFieldPrepender;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public final class Client {
    private static final int FRAME_SIZE_MAX = 1 << 20;
    private static final int[] BODY_SIZES = {4, 5, 12, 100, 120, 13, 4};

    private final int port;
    private final ByteOrder order;
    private final int offset;
    private final int size;
    private final int adjust;
    private final int strip;

    private Client(String text) {
        String[] words = text.split(",");
        port = Integer.parseInt(words[0]);
        order = words[1].equals("le") ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        offset = Integer.parseInt(words[2]);
        size = Integer.parseInt(words[3]);
        adjust = Integer.parseInt(words[4]);
        strip = Integer.parseInt(words[5]);
    }

    public static void main(String[] arguments) throws InterruptedException {
        EventLoopGroup group = new NioEventLoopGroup(1);
        for (String argument : arguments) {
            System.out.println(argument + " " + new Client(argument).speak(group));
        }
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }

    private String speak(EventLoopGroup group) throws InterruptedException {
        BlockingQueue<byte[]> replies = new LinkedBlockingQueue<>();
        Channel channel = new Bootstrap()
            .group(group)
            .channel(NioSocketChannel.class)
            .handler(new ChannelInitializer<Channel>() {
                @Override
                protected void initChannel(Channel channel) {
                    channel.pipeline().addLast(new LengthFieldBasedFrameDecoder(
                        order, FRAME_SIZE_MAX, offset, size, adjust, strip, true));
                    if (prepends()) {
                        channel.pipeline().addLast(
                            new LengthFieldPrepender(order, size, 0, adjust != 0));
                    }
                    channel.pipeline().addLast(new SimpleChannelInboundHandler<ByteBuf>() {
                        @Override
                        protected void channelRead0(ChannelHandlerContext context, ByteBuf reply) {
                            byte[] bytes = new byte[reply.readableBytes()];
                            reply.readBytes(bytes);
                            replies.add(bytes);
                        }
                    });
                }
            })
            .connect("127.0.0.1", port).sync().channel();
        for (int length : BODY_SIZES) {
            channel.write(prepends() ? body(length) : Unpooled.wrappedBuffer(frame(length)));
        }
        channel.flush();
        for (int length : BODY_SIZES) {
            byte[] whole = frame(length);
            byte[] expected = Arrays.copyOfRange(whole, strip, whole.length);
            byte[] found = replies.poll(10, TimeUnit.SECONDS);
            if (!Arrays.equals(expected, found)) {
                return "wrong: sent " + Arrays.toString(whole) + ", back came "
                    + Arrays.toString(found);
            }
        }
        channel.close().sync();
        return "echoed " + BODY_SIZES.length + (prepends() ? " by its prepender" : "");
    }

    private boolean prepends() {
        return offset == 0 && (adjust == 0 || adjust == -size);
    }

    private static ByteBuf body(int length) {
        ByteBuf body = Unpooled.buffer(length);
        for (int index = 0; index < length; index++) {
            body.writeByte('A' + index % 26);
        }
        return body;
    }

    private byte[] frame(int length) {
        ByteBuf header = Unpooled.buffer(offset + size);
        for (int index = 0; index < offset; index++) {
            header.writeByte(0xCA);
        }
        long field = length - adjust;
        for (int index = 0; index < size; index++) {
            int place = order == ByteOrder.LITTLE_ENDIAN ? index : size - 1 - index;
            header.writeByte((int) (field >> (8 * place)));
        }
        byte[] frame = new byte[offset + size + length];
        header.readBytes(frame, 0, offset + size);
        body(length).readBytes(frame, offset + size, length);
        return frame;
    }
}
